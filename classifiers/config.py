"""Options of fits and fine-tuning, with their limits."""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from frieze.core import Floats, InputError, Rows, Strings


@dataclasses.dataclass(frozen=True)
class Network:
    """Architecture and training of a `keras` head.

    Attributes:
        layers: Units of each hidden layer; empty for a softmax alone.
        dropout: Share of each hidden layer's units that are dropped at a step, in [0, 1).
        epochs: Maximum number of epochs.
        patience: Epochs without a lower validation loss before early stopping.
    """

    layers: tuple[int, ...] = (128,)
    dropout: float = 0.0
    epochs: int = 100
    patience: int = 5

    def __post_init__(self) -> None:
        if not all(0 < units <= _MAX_UNITS for units in self.layers) or len(self.layers) > _MAX_LAYERS:
            raise InputError(
                f"The hidden layers have {', '.join(map(str, self.layers))} units.",
                hint=f"Use up to {_MAX_LAYERS} layers of 1 to {_MAX_UNITS} units, such as `layers='256,128'`",
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"The dropout is {self.dropout}; it must be a share of the units, at least 0 and below 1.",
                hint="Use for example `dropout=0.3`",
            )
        if self.epochs < 1 or self.patience < 1:
            raise InputError(
                f"There are {self.epochs} epochs and a patience of {self.patience}; both must be at least 1.",
                hint="Use for example `epochs=100, patience=5`",
            )


_MAX_UNITS, _MAX_LAYERS = 16_384, 8  # a head is small: a larger one is a mistake, or a malicious file


DEFAULT_NETWORK = Network()
"""One hidden layer of 128 units, as in transfer-learning tutorials."""


@dataclasses.dataclass(frozen=True)
class StartWeights:
    """Weights of classes that a linear head starts from, such as those of their names in words.

    Attributes:
        path: The folder of the head that they come from.
        classes: The names of the C classes, sorted.
        coef: [C, D], of the logits of unit vectors.
        intercept: [C].
    """

    path: Path
    classes: Strings
    coef: Floats
    intercept: Floats

    def take(self, classes: Strings) -> tuple[Floats, Floats]:
        """Return weights and intercepts of some of the classes, float32; of two, less their mean."""
        rows = np.searchsorted(self.classes.astype(str), classes.astype(str))
        coef, intercept = self.coef[rows].astype(np.float32), self.intercept[rows].astype(np.float32)
        return coef - coef.mean(axis=0), intercept - intercept.mean()


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Options of a fit beside rows and labels.

    Attributes:
        weights: float32 [N], >= 0, the sample weight of each row; None for equal weights.
        seed: Random seed.
        network: Architecture of a `keras` head.
        n_rows: Rows of the final fit, where this one is of a fold; 0 for the rows of this fit.
        groups: int64 [N]; rows of one group stay on one side of what early stopping looks at. None for single rows.
        start: Weights that `linear` is pulled to instead of zero; None for zero.
        near: A head of the same kind that was fitted on most of the rows: at its weights the steps of a kind that
            `is_iterative` begin, and end where they would without it. None for none.
        is_rough: Whether these steps may end a hundred times sooner, as is enough to choose and to calibrate.
    """

    weights: Floats | None = None
    seed: int = 0
    network: Network = DEFAULT_NETWORK
    n_rows: int = 0
    groups: Rows | None = None
    start: StartWeights | None = None
    near: object = None
    is_rough: bool = False

    def take(self, rows: Rows) -> Self:
        """Return the options for some of the rows."""
        taken = {name: values[rows] for name in ("weights", "groups") if (values := getattr(self, name)) is not None}
        return dataclasses.replace(self, **taken)


@dataclasses.dataclass(frozen=True)
class FitMemory:
    """Memory of a fit.

    Attributes:
        copies: Copies of the embeddings, themselves included; every fit has those of one fold.
        columns: Further float32 columns a row.
        fixed_bytes: Memory that does not depend on the rows: libraries that only this fit needs.
    """

    copies: int = 2
    columns: int = 0
    fixed_bytes: int = 0

    def count(self, n_rows: int, dim: int) -> int:
        """Return the bytes of a fit on float32 [n_rows, dim].

        >>> FitMemory().count(10, 8)
        640
        """
        return 4 * n_rows * (self.copies * dim + self.columns) + self.fixed_bytes


SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """How a network is fine-tuned: Adam, a learning-rate schedule, early stopping.

    Attributes:
        epochs: Maximum number of epochs.
        learning_rate: The highest learning rate, > 0.
        schedule: `cosine` (warm-up, then cosine decay) or `constant`.
        batch_size: Images a step.
        patience: Epochs without a lower validation loss before early stopping.
        augments: Whether training images are augmented: flipped, cropped and coloured at random.
        caches: Whether activations of the frozen layers are cached on disk.
        hidden: Hidden layers of a new head; None for a warm start from the probe.
        seed: Random seed of order, augmentation and a new head.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 32
    patience: int = 5
    augments: bool = True
    caches: bool = False
    hidden: Network | None = None
    seed: int = 0
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        whole = {"epochs": self.epochs, "batch_size": self.batch_size, "patience": self.patience}
        for name, value in whole.items():
            if value < 1:
                raise InputError(f"`{name}` is {value}; it must be at least 1.", hint=f"Use for example `{name}=10`")
        if not 0 < self.learning_rate < 1:
            raise InputError(
                f"The learning rate is {self.learning_rate}; it must be between 0 and 1.",
                hint="Use for example `learning_rate=1e-4`",
            )
        if self.schedule not in SCHEDULES:
            raise InputError(f"Unknown schedule: {self.schedule}.", hint=f"Use one of: {', '.join(SCHEDULES)}.")
        if self.augments and self.caches:
            raise InputError(
                "Cached activations are those of the original images: they can't be augmented.",
                hint="Use `cache=True` together with `augment=False`, or neither.",
            )


MAX_SEED = 2**32 - 1
"""The highest seed that both NumPy and scikit-learn accept."""

"""How heads are fitted: options and limits."""

import dataclasses
from typing import Self

from frieze.core import (
    Floats,
    InputError,
    Rows,
)


@dataclasses.dataclass(frozen=True)
class Network:
    """What the network of a `keras` head looks like, and how long it learns.

    Attributes:
        layers: Units of each hidden layer; empty for a softmax alone.
        dropout: Share of each hidden layer's units that is left out at a step, in [0, 1).
        epochs: How often it sees the rows at most.
        patience: After how many epochs without a gain on the watched rows it stops.
    """

    layers: tuple[int, ...] = (128,)
    dropout: float = 0.0
    epochs: int = 100
    patience: int = 5

    def __post_init__(self) -> None:
        if not all(0 < units <= _MOST_UNITS for units in self.layers) or len(self.layers) > _MOST_LAYERS:
            raise InputError(
                f"The hidden layers have {', '.join(map(str, self.layers))} units.",
                hint=f"Give up to {_MOST_LAYERS} layers of 1 to {_MOST_UNITS} units, such as --layers 256,128",
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"The dropout is {self.dropout}; it is a share of the units, from 0 on and below 1.",
                hint="Use for example --dropout 0.3",
            )
        if self.epochs < 1 or self.patience < 1:
            raise InputError(
                f"There are {self.epochs} epochs and a patience of {self.patience}; both are at least 1.",
                hint="Use for example --epochs 100 --patience 5",
            )


_MOST_UNITS, _MOST_LAYERS = 16_384, 8  # a head is small: what is larger is a mistake, or a file that means harm


USUAL = Network()
"""One hidden layer of 128 units, as in transfer-learning tutorials."""


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What a fit takes beside rows and labels.

    Attributes:
        weights: float32 [N], >= 0, how much each row counts; None for all alike.
        seed: For whatever is drawn.
        network: Of a head that is one.
        n_rows: How many rows the head is for, where those of a fold are fitted on; 0 for those at hand.
    """

    weights: Floats | None = None
    seed: int = 0
    network: Network = USUAL
    n_rows: int = 0

    def take(self, rows: Rows) -> Self:
        """Give the terms for some of the rows."""
        return self if self.weights is None else dataclasses.replace(self, weights=self.weights[rows])


@dataclasses.dataclass(frozen=True)
class FitMemory:
    """What a fit takes in memory.

    Attributes:
        copies: Of the embeddings, themselves included; one fold's are there in every fit.
        columns: Of its own for each row, float32.
        fixed_bytes: Whatever the rows: libraries that only this fit needs.
    """

    copies: int = 2
    columns: int = 0
    fixed_bytes: int = 0

    def count(self, n_rows: int, dim: int) -> int:
        """Return the bytes for float32 [n_rows, dim] in memory.

        >>> FitMemory().count(10, 8)
        640
        """
        return 4 * n_rows * (self.copies * dim + self.columns) + self.fixed_bytes


SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """How a network is fine-tuned: Adam, a rate that may warm up and fall, early stopping.

    Attributes:
        epochs: How often it sees the training images at most.
        learning_rate: The highest, > 0.
        schedule: `cosine`: the rate warms up, then falls as a cosine does; `constant`: it stays.
        batch_size: Images a step.
        patience: After how many epochs without a gain on the validation images it stops.
        augments: Whether images are flipped, cropped and coloured at random while it learns.
        caches: Whether what the frozen part makes of the images is kept on disk.
        hidden: Hidden layers of a new head that takes the probe's place; None to begin from the probe.
        seed: For order, augmentation and a new head.
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
        whole = {"--epochs": self.epochs, "--batch-size": self.batch_size, "--patience": self.patience}
        for option, value in whole.items():
            if value < 1:
                raise InputError(f"{option} is {value}; it is at least 1.", hint=f"Use for example {option} 10")
        if not 0 < self.learning_rate < 1:
            raise InputError(
                f"The learning rate is {self.learning_rate}; it lies between 0 and 1.",
                hint="Use for example --learning-rate 1e-4",
            )
        if self.schedule not in SCHEDULES:
            raise InputError(f"Unknown schedule: {self.schedule}.", hint=f"Use one of: {', '.join(SCHEDULES)}.")
        if self.augments and self.caches:
            raise InputError(
                "What is kept of the frozen part is kept of each image as it is: it can't be augmented.",
                hint="Give --cache together with --no-augment, or neither.",
            )


MAX_SEED = 2**32 - 1
"""What both NumPy and scikit-learn take."""

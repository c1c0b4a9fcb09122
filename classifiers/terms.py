"""Under which terms a head is fitted, beside its rows and labels."""

import dataclasses
from typing import Self

from features import Floats, InputError, Rows


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
                mend=f"Give up to {_MOST_LAYERS} layers of 1 to {_MOST_UNITS} units, such as --layers 256,128",
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"The dropout is {self.dropout}; it is a share of the units, from 0 on and below 1.",
                mend="Use for example --dropout 0.3",
            )
        if self.epochs < 1 or self.patience < 1:
            raise InputError(
                f"There are {self.epochs} epochs and a patience of {self.patience}; both are at least 1.",
                mend="Use for example --epochs 100 --patience 5",
            )


_MOST_UNITS, _MOST_LAYERS = 16_384, 8  # a head is small: what is larger is a mistake, or a file that means harm
USUAL = Network()
"""One hidden layer of 128 units, as in transfer-learning tutorials."""


@dataclasses.dataclass(frozen=True)
class Terms:
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

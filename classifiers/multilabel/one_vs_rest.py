"""A fitted one-vs-rest head: a calibrated linear model and a threshold for each label."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np

from frieze.core import Floats, unit_rows


@dataclasses.dataclass(frozen=True)
class OneVsRest:
    """The weights of C labels, whose probabilities need not sum to 1.

    Attributes:
        coef: float32 [C, D], of the logits of unit vectors.
        intercept: float32 [C].
        thresholds: float32 [C], the probability from which on an image has the label.
    """

    coef: Floats
    intercept: Floats
    thresholds: Floats

    def probabilities(self, embeddings: Floats) -> Floats:
        """Compute the probability of each label, float32 [N, C], of float32 [N, D] of any length."""
        return sigmoid(unit_rows(embeddings) @ self.coef.T + self.intercept)

    def write(self, path: Path) -> None:
        """Write an .npz file of the three arrays."""
        np.savez(path, **vars(self))

    @classmethod
    def read(cls, path: Path, *, shape: tuple[int, int]) -> Self:
        """Read what `write` wrote for (C, D); nothing in it is run.

        Raises:
            ValueError: The arrays are of another shape or type; LookupError and others where it is no such file.
        """
        with np.load(path, allow_pickle=False) as arrays:
            head = cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})
        expected: dict[str, Any] = {"coef": shape, "intercept": shape[:1], "thresholds": shape[:1]}
        if {name: array.shape for name, array in vars(head).items()} != expected:
            raise ValueError("it holds the weights of another head")
        if {array.dtype for array in vars(head).values()} != {np.dtype(np.float32)}:
            raise ValueError("its arrays are of another type")
        return head


def sigmoid(logits: Floats) -> Floats:
    """Compute 1 / (1 + exp(-logits)) without an overflow.

    >>> sigmoid(np.array([-1000, 0, 1000], "f4")).tolist()
    [0.0, 0.5, 1.0]
    """
    exponentials = np.exp(-np.abs(logits))
    probabilities: Floats = np.where(logits < 0, exponentials, 1) / (1 + exponentials)
    return probabilities

"""The RBF kernel against stored vectors, and the two ways in which its values become margins."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from classifiers.graphs import duel_margins, linear_margins, rbf
from features import Floats, Rows

LEAST_LEAD = 1e-3
"""By how much the margin of the class that wins the vote is ahead at least."""


@dataclasses.dataclass(frozen=True)
class Rbf:
    """exp(-gamma |x - v|^2) for each stored vector v.

    Attributes:
        vectors: float32 [S, D].
        gamma: > 0.
    """

    vectors: Floats
    gamma: float

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.vectors) or not 0 < self.gamma < np.inf:  # noqa: PLR2004  [S, D]
            raise ValueError("its kernel has no vectors or no width")

    def __call__(self, rows: Floats) -> Floats:
        """Give float32 [n, S] in (0, 1] for float32 [n, D]."""
        centre = self.vectors.mean(axis=0)  # near vectors keep their digits when what they share is taken away
        ours, theirs = rows - centre, self.vectors - centre
        squares = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T
        values: Floats = np.exp(-np.float32(self.gamma) * np.maximum(squares, 0))
        return values

    def as_function(self) -> Callable[[Any], Any]:
        """Give the same of rows scaled to unit length, in TensorFlow's operations."""
        return rbf(self.vectors, gamma=self.gamma)


class Readout(Protocol):
    """From kernel values float32 [n, S] to margins float32 [n, C]."""

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """One weighted sum of kernel values a class: weights float32 [C, S], intercepts float32 [C]."""

    weights: Floats
    intercepts: Floats

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""
        return len(self.weights[0])

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""
        margins: Floats = values @ self.weights.T + self.intercepts
        return margins

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""
        return linear_margins(self.weights, self.intercepts)


@dataclasses.dataclass(frozen=True)
class Duels:
    """One decision for each pair of classes, as libsvm makes it.

    The class is that of the most duels won, of several alike the one with the largest sum of decisions, squashed: what
    SVC predicts with `break_ties`. A margin is the sum over the other classes of the logarithm of the sigmoid of the
    decision, as in a tournament after Bradley and Terry; its softmax at a temperature is honest within 0.02 to 0.04 on
    photographs, where that of the votes is 0.05 to 0.1 off. Where a class wins the vote and not by margin (4 to 9 % of
    rows), its margin is lifted to just above the others.

    Attributes:
        coef: float32 [C, S], the weight of each vector in the duel of its class against each; 0 against itself.
        counts: int64 [C], how many vectors each class has; they stand class by class.
        intercepts: float32 [C, C], of each duel; symmetric.

    Source: Hastie and Tibshirani 1998, Classification by pairwise coupling, section 2 (the model).
    """

    coef: Floats
    counts: Rows
    intercepts: Floats

    @classmethod
    def of(cls, dual: Floats, intercepts: Floats, counts: Rows) -> "Duels":
        """Unfold what SVC holds.

        Args:
            dual: float [C - 1, S], its `dual_coef_`.
            intercepts: float [C (C - 1) / 2], its `intercept_`.
            counts: int [C], its `n_support_`.

        Raises:
            ValueError: They do not fit together.
        """
        n_classes = len(counts)
        pairs = np.triu_indices(n_classes, 1)
        if dual.shape != (n_classes - 1, counts.sum()) or intercepts.shape != pairs[0].shape or counts.min() < 0:
            raise ValueError("its weights are for other duels")
        sign = -1 if n_classes == 2 else 1  # noqa: PLR2004  of two classes scikit-learn tells the second's side
        codes, square = np.repeat(np.arange(n_classes), counts), np.zeros((n_classes, n_classes), np.float32)
        coef = np.zeros((n_classes, len(codes)), np.float32)
        for other in range(n_classes):
            foes = codes != other
            coef[other, foes] = sign * dual[other - (other > codes[foes]), foes]
        square[pairs] = sign * intercepts
        return cls(coef, counts.astype(np.int64), square + square.T)

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""
        return len(self.coef[0]) + 3 * len(self.coef) ** 2

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""
        decisions = self._decisions(values)
        sums = decisions.sum(axis=2)
        votes = (decisions > 0).sum(axis=2) + sums / (3 * (np.abs(sums) + 1))
        margins: Floats = -np.logaddexp(0, -decisions).sum(axis=2)
        rows, winners = np.arange(len(values)), votes.argmax(axis=1)
        won = margins[rows, winners]
        margins[rows, winners] = -np.inf
        margins[rows, winners] = np.maximum(won, margins.max(axis=1) + np.float32(LEAST_LEAD))
        return margins

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""
        return duel_margins(self.coef, self.counts, self.intercepts, least_lead=LEAST_LEAD)

    def _decisions(self, values: Floats) -> Floats:
        """Give float32 [n, C, C]: above 0 where the first class of a pair beats the second."""
        ends = np.cumsum(self.counts)
        blocks = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        parts = np.stack([values[:, block] @ self.coef[:, block].T for block in blocks], axis=1)
        classes = np.arange(len(self.counts))
        signs = np.sign(classes - classes[:, None]).astype(np.float32)
        decisions: Floats = signs * (parts + parts.transpose(0, 2, 1) + self.intercepts)
        return decisions

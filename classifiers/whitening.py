"""A change of variables in which the objective of a linear head is nearly round, so that few steps lead down."""

from typing import Self

import numpy as np

from classifiers.losses import Loss
from classifiers.pieces import Doubles, Pieces, mean_products
from features import Floats

_LEAST_PENALTY = 1e-6  # stands for none, so that the variables of an intercept without penalty have a scale


class Axes:
    """The principal axes of the embeddings with a 1 behind each: eigenvectors of their mean x x'.

    The second derivative for one class is 1 + k G, with G that mean and k the curvature of the class summed over the
    rows: exactly so at weights of zero, roughly so elsewhere. Along these axes it is diagonal for every k.

    Attributes:
        lengths: float64 [D + 1], eigenvalues, >= 0.
        turn: float32 [D + 1, D + 1], turns coordinates along the axes (rows) into weights and intercept.
    """

    def __init__(self, products: Doubles, loss: Loss) -> None:
        scale = np.ones(len(products))
        scale[-1] = max(loss.intercept_penalty, _LEAST_PENALTY) ** -0.5
        lengths, axes = np.linalg.eigh(products * scale * scale[:, None])
        self.lengths = np.maximum(lengths, 0)
        self.turn: Floats = (scale[:, None] * axes).T.astype(np.float32)
        self._back: Floats = (axes / scale[:, None]).astype(np.float32)

    @classmethod
    def of(cls, pieces: Pieces, weights: Floats | None, loss: Loss) -> Self:
        """Look at the rows once."""
        return cls(mean_products(pieces, weights), loss)

    def round_out(self, curvature: Doubles) -> "Whitening":
        """Give the variables that are round where the classes have this curvature, float64 [C], cost included."""
        return Whitening(self, (1 + curvature[:, None] * self.lengths) ** -0.5)

    def along(self, weights: Floats) -> Floats:
        """Give weights [c, D + 1] as coordinates along the axes."""
        return weights @ self._back


class Whitening:
    """Variables v of each class, with weights = (v * scale) turned from the axes."""

    def __init__(self, axes: Axes, scale: Doubles) -> None:
        self._axes, self._scale = axes, scale.astype(np.float32)

    def variables(self, weights: Floats) -> Doubles:
        """Give the variables float64 [C, D + 1] of all classes' weights float32 [C, D + 1]."""
        return (self._axes.along(weights) / self._scale).astype(np.float64)

    def weights(self, variables: Doubles, classes: slice | np.ndarray) -> Floats:
        """Give the weights float32 [c, D + 1] of some classes' variables float64 [c, D + 1]."""
        scaled: Floats = variables.astype(np.float32) * self._scale[classes]
        return scaled @ self._axes.turn

    def gradients(self, by_weights: Doubles, classes: slice | np.ndarray) -> Doubles:
        """Turn derivatives by the weights [c, D + 1] of some classes into those by their variables."""
        turned: Floats = (by_weights.astype(np.float32) @ self._axes.turn.T) * self._scale[classes]
        return turned.astype(np.float64)

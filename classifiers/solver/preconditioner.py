"""A change of variables in which the objective of a linear head is nearly round, so that few steps lead down."""

import numpy as np

from frieze.classifiers.solver.losses import Loss
from frieze.classifiers.solver.row_blocks import Doubles, Pieces, drawn_rows, mean_products
from frieze.classifiers.solver.row_space import MOST_AXES, row_products
from frieze.core import Floats

_LEAST_PENALTY = 1e-6  # stands for none, so that the variables of an intercept without penalty have a scale
_TINY = float(np.finfo(np.float32).tiny)
_N_LEADING = 128
_DRAWN_PER_AXIS = 8  # rows a leading axis is told by: of fewer its length comes out too long


class Preconditioner:
    """The principal axes of the embeddings with a 1 behind each: eigenvectors of their mean x x'.

    The second derivative for one class is 1 + k G, with G that mean and k the curvature of the class summed over the
    rows: exactly so at weights of zero, roughly so elsewhere. Along these axes it is diagonal for every k.

    Attributes:
        width: D + 1.
        lengths: float64 [D + 1], eigenvalues, >= 0.
        turn: float32 [D + 1, D + 1], turns coordinates along the axes (rows) into weights and intercept.
    """

    def __init__(self, products: Doubles, loss: Loss) -> None:
        self.width = len(products)
        scale = _unpenalised(self.width, loss)
        lengths, axes = np.linalg.eigh(products * scale * scale[:, None])
        self.lengths = np.maximum(lengths, 0)
        self.turn: Floats = (scale[:, None] * axes).T.astype(np.float32)
        self._back: Floats = (axes / scale[:, None]).astype(np.float32)

    def round_out(self, curvature: Doubles) -> "Whitening":
        """Give the variables that are round where the classes have this curvature, float64 [C], cost included."""
        return Whitening(self, (1 + curvature[:, None] * self.lengths) ** -0.5)

    def along(self, weights: Floats) -> Floats:
        """Give weights [c, D + 1] as coordinates along the axes."""
        return weights @ self._back


class Whitening:
    """Variables v of each class, with weights = (v * scale) turned from the axes."""

    def __init__(self, axes: Preconditioner, scale: Doubles) -> None:
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


class LeadingAxes:
    """The longest of the axes, of rows drawn evenly, where all of them would take hours; the others count as alike.

    Attributes:
        width: D + 1.
    """

    def __init__(self, rows: Floats, weights: Floats, loss: Loss) -> None:
        """Decompose float32 [n, D] with their weights [n], n well below D."""
        self.width = rows.shape[1] + 1
        self._scale = _unpenalised(self.width, loss).astype(np.float32)
        wide = np.column_stack([rows, np.ones(len(rows), np.float32)]) * self._scale
        wide *= np.sqrt(weights / max(float(weights.sum()), _TINY))[:, None]
        lengths, axes = np.linalg.eigh(row_products(wide))
        lengths, axes = np.maximum(lengths[-_N_LEADING:], _TINY), axes[:, -_N_LEADING:]
        self._lengths: Doubles = lengths
        self._rest = max(float(np.square(wide).sum(dtype=np.float64) - lengths.sum()), 0) / self.width
        self._axes: Floats = ((axes / np.sqrt(lengths)).T @ wide).astype(np.float32)  # [A, D + 1]

    def round_out(self, curvature: Doubles) -> "LeadingWhitening":
        """Give the variables that are round, but for the shorter axes, at this curvature float64 [C], cost included."""
        along, rest = ((1 + curvature[:, None] * lengths) ** -0.5 for lengths in (self._lengths, self._rest))
        return LeadingWhitening(self._axes, self._scale, along.astype(np.float32), rest.astype(np.float32))


class LeadingWhitening:
    """Variables v of each class, with weights = v scaled along each leading axis, and by one factor beside them."""

    def __init__(self, axes: Floats, unpenalised: Floats, along: Floats, rest: Floats) -> None:
        self._axes, self._unpenalised, self._along, self._rest = axes, unpenalised, along, rest

    def variables(self, weights: Floats) -> Doubles:
        """Give the variables float64 [C, D + 1] of all classes' weights float32 [C, D + 1]."""
        along, rest = (np.reciprocal(scale) for scale in (self._along, self._rest))
        return self._scaled(weights / self._unpenalised, along, rest).astype(np.float64)

    def weights(self, variables: Doubles, classes: slice | np.ndarray) -> Floats:
        """Give the weights float32 [c, D + 1] of some classes' variables float64 [c, D + 1]."""
        scaled = self._scaled(variables.astype(np.float32), self._along[classes], self._rest[classes])
        return scaled * self._unpenalised

    def gradients(self, by_weights: Doubles, classes: slice | np.ndarray) -> Doubles:
        """Turn derivatives by the weights [c, D + 1] of some classes into those by their variables."""
        turned = (by_weights * self._unpenalised).astype(np.float32)
        return self._scaled(turned, self._along[classes], self._rest[classes]).astype(np.float64)

    def _scaled(self, rows: Floats, along: Floats, rest: Floats) -> Floats:
        """Multiply [c, D + 1] by the symmetric matrix that scales each axis."""
        scaled = rest * rows + ((along - rest) * (rows @ self._axes.T)) @ self._axes
        return scaled.astype(np.float32, copy=False)


def find_axes(pieces: Pieces, weights: Floats | None, loss: Loss) -> Preconditioner | LeadingAxes:
    """Look at the rows once: all axes of embeddings of up to 4096 columns, the leading ones of longer embeddings."""
    width = next((embeddings.shape[1] for embeddings, _ in pieces), 0)
    if width <= MOST_AXES:
        return Preconditioner(mean_products(pieces, weights), loss)
    return LeadingAxes(*drawn_rows(pieces, weights, most=_DRAWN_PER_AXIS * _N_LEADING), loss)


def _unpenalised(width: int, loss: Loss) -> Doubles:
    """Give what makes the penalty of D weights and an intercept round, [D + 1]."""
    scale = np.ones(width)
    scale[-1] = max(loss.intercept_penalty, _LEAST_PENALTY) ** -0.5
    return scale

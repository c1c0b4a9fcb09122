"""Preconditioners: variables in which the Hessian of a linear head is nearly the identity, for few L-BFGS steps."""

import numpy as np

from frieze.classifiers.solver.losses import Loss
from frieze.classifiers.solver.row_blocks import Doubles, RowBlocks, mean_products, sample_rows
from frieze.classifiers.solver.row_space import MOST_AXES, row_products
from frieze.core import Floats

_MIN_PENALTY = 1e-6  # in place of 0, so that an intercept without penalty has a scale
_TINY = float(np.finfo(np.float32).tiny)
_N_LEADING = 128
_ROWS_PER_AXIS = 8  # sampled rows for each leading axis; with fewer its eigenvalue comes out too large


class PrincipalAxes:
    """The principal axes of the embeddings with a 1 appended: eigenvectors of their mean x x'.

    The second derivative for one class is 1 + k G, with G that mean and k the curvature of the class summed over the
    rows: exactly so at weights of zero, roughly so elsewhere. Along these axes it is diagonal for every k.

    Attributes:
        width: D + 1.
        lengths: float64 [D + 1], eigenvalues, >= 0.
        rotation: float32 [D + 1, D + 1], maps coordinates along the axes (rows) to weights and intercept.
    """

    def __init__(self, products: Doubles, loss: Loss) -> None:
        self.width = len(products)
        scale = _unpenalised(self.width, loss)
        lengths, axes = np.linalg.eigh(products * scale * scale[:, None])
        self.lengths = np.maximum(lengths, 0)
        self.rotation: Floats = (scale[:, None] * axes).T.astype(np.float32)
        self._inverse_rotation: Floats = (axes / scale[:, None]).astype(np.float32)

    def preconditioner(self, curvature: Doubles) -> "Preconditioner":
        """Return the preconditioner for classes of this curvature, float64 [C], cost included."""
        return Preconditioner(self, (1 + curvature[:, None] * self.lengths) ** -0.5)

    def project(self, weights: Floats) -> Floats:
        """Project weights [c, D + 1] on the axes."""
        return weights @ self._inverse_rotation


class Preconditioner:
    """Variables v of each class, with weights = (v * scale) @ rotation."""

    def __init__(self, axes: PrincipalAxes, scale: Doubles) -> None:
        self._axes, self._scale = axes, scale.astype(np.float32)

    def variables(self, weights: Floats) -> Doubles:
        """Convert all classes' weights float32 [C, D + 1] to variables float64 [C, D + 1]."""
        return (self._axes.project(weights) / self._scale).astype(np.float64)

    def weights(self, variables: Doubles, classes: slice | np.ndarray) -> Floats:
        """Compute the weights float32 [c, D + 1] of some classes' variables float64 [c, D + 1]."""
        scaled: Floats = variables.astype(np.float32) * self._scale[classes]
        return scaled @ self._axes.rotation

    def gradients(self, by_weights: Doubles, classes: slice | np.ndarray) -> Doubles:
        """Convert some classes' derivatives by the weights [c, D + 1] to those by the variables."""
        rotated: Floats = (by_weights.astype(np.float32) @ self._axes.rotation.T) * self._scale[classes]
        return rotated.astype(np.float64)


class LeadingAxes:
    """The leading principal axes of sampled rows, for wide embeddings; all other directions share one scale.

    Attributes:
        width: D + 1.
    """

    def __init__(self, rows: Floats, weights: Floats, loss: Loss) -> None:
        """Decompose float32 [n, D] with row weights [n], n well below D."""
        self.width = rows.shape[1] + 1
        self._scale = _unpenalised(self.width, loss).astype(np.float32)
        scaled_rows = np.column_stack([rows, np.ones(len(rows), np.float32)]) * self._scale
        scaled_rows *= np.sqrt(weights / max(float(weights.sum()), _TINY))[:, None]
        lengths, axes = np.linalg.eigh(row_products(scaled_rows))
        lengths, axes = np.maximum(lengths[-_N_LEADING:], _TINY), axes[:, -_N_LEADING:]
        self._lengths: Doubles = lengths
        self._rest = max(float(np.square(scaled_rows).sum(dtype=np.float64) - lengths.sum()), 0) / self.width
        self._axes: Floats = ((axes / np.sqrt(lengths)).T @ scaled_rows).astype(np.float32)  # [A, D + 1]

    def preconditioner(self, curvature: Doubles) -> "LeadingPreconditioner":
        """Return the preconditioner for classes of this curvature, float64 [C], cost included."""
        along, rest = ((1 + curvature[:, None] * lengths) ** -0.5 for lengths in (self._lengths, self._rest))
        return LeadingPreconditioner(self._axes, self._scale, along.astype(np.float32), rest.astype(np.float32))


class LeadingPreconditioner:
    """Variables v of each class, with weights = v scaled along each leading axis and by one factor elsewhere."""

    def __init__(self, axes: Floats, unpenalised: Floats, along: Floats, rest: Floats) -> None:
        self._axes, self._unpenalised, self._along, self._rest = axes, unpenalised, along, rest

    def variables(self, weights: Floats) -> Doubles:
        """Convert all classes' weights float32 [C, D + 1] to variables float64 [C, D + 1]."""
        along, rest = (np.reciprocal(scale) for scale in (self._along, self._rest))
        return self._scaled(weights / self._unpenalised, along, rest).astype(np.float64)

    def weights(self, variables: Doubles, classes: slice | np.ndarray) -> Floats:
        """Compute the weights float32 [c, D + 1] of some classes' variables float64 [c, D + 1]."""
        scaled = self._scaled(variables.astype(np.float32), self._along[classes], self._rest[classes])
        return scaled * self._unpenalised

    def gradients(self, by_weights: Doubles, classes: slice | np.ndarray) -> Doubles:
        """Convert some classes' derivatives by the weights [c, D + 1] to those by the variables."""
        rotated = (by_weights * self._unpenalised).astype(np.float32)
        return self._scaled(rotated, self._along[classes], self._rest[classes]).astype(np.float64)

    def _scaled(self, rows: Floats, along: Floats, rest: Floats) -> Floats:
        """Multiply [c, D + 1] by the symmetric matrix that scales each axis."""
        scaled = rest * rows + ((along - rest) * (rows @ self._axes.T)) @ self._axes
        return scaled.astype(np.float32, copy=False)


def find_axes(row_blocks: RowBlocks, weights: Floats | None, loss: Loss) -> PrincipalAxes | LeadingAxes:
    """Compute all axes for up to 4096 columns, the leading ones for wider embeddings, in one pass."""
    width = next((embeddings.shape[1] for embeddings, _ in row_blocks), 0)
    if width <= MOST_AXES:
        return PrincipalAxes(mean_products(row_blocks, weights), loss)
    return LeadingAxes(*sample_rows(row_blocks, weights, most=_ROWS_PER_AXIS * _N_LEADING), loss)


def _unpenalised(width: int, loss: Loss) -> Doubles:
    """Return the scale [D + 1] that makes the penalty of D weights and an intercept the identity."""
    scale = np.ones(width)
    scale[-1] = max(loss.intercept_penalty, _MIN_PENALTY) ** -0.5
    return scale

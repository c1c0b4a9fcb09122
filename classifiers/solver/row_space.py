"""Row space: coordinates of few wide embeddings in the space that they span, with the same inner products."""

from typing import Self

import numpy as np

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Floats, evenly_spaced

MOST_AXES = 4096
"""Number of axes up to which an eigendecomposition takes at most ten seconds; the time grows with its cube."""
_N_SAMPLED = 1024
_BLOCK_COLUMNS = 4096
_MIN_EIGENVALUE = 1e-12  # of the largest eigenvalue: smaller ones are rounding
_TINY = float(np.finfo(np.float32).tiny)


class RowSpace:
    """An orthogonal basis of the space that some rows span.

    A linear head with a penalty on its squared weights lies in the space of its rows: fitted on their coordinates it
    is the same head, with N columns instead of D (representer theorem).

    Attributes:
        coordinates: float32 [N, R], R <= N, of the rows.
    """

    def __init__(self, rows: Floats) -> None:
        """Decompose the products of float32 [N, D], N x N numbers."""
        squares, axes = np.linalg.eigh(row_products(rows))
        kept = squares >= max(_MIN_EIGENVALUE * squares[-1], _TINY)
        kept[-1] = True  # one axis even if all rows are zero
        lengths = np.sqrt(np.maximum(squares[kept], _TINY))
        self._rows, self._axes = rows, axes[:, kept] / lengths
        self.coordinates: Floats = (axes[:, kept] * lengths).astype(np.float32)

    @classmethod
    def if_fewer_rows_than_columns(cls, rows: Floats) -> Self | None:
        """Return the row space of float32 [N, D] where N is below D and small enough, else None."""
        n_rows, width = rows.shape
        return cls(rows) if n_rows < width and n_rows <= MOST_AXES else None

    def project(self, weights: Floats) -> Floats:
        """Project weights [C, D] to coordinates float32 [C, R]; components orthogonal to all rows are lost."""
        coordinates: Floats = ((weights @ self._rows.T) @ self._axes).astype(np.float32)
        return coordinates

    def weights(self, coordinates: Floats) -> Floats:
        """Convert weights [C, R] of the coordinates to float32 [C, D]."""
        weights: Floats = (coordinates @ self._axes.T).astype(np.float32) @ self._rows
        return weights


def row_products(rows: Floats) -> Doubles:
    """Compute the Gram matrix float64 [N, N] of float32 [N, D], block by block to avoid a whole copy."""
    products = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _BLOCK_COLUMNS):
        block = rows[:, start : start + _BLOCK_COLUMNS].astype(np.float64)
        products += block @ block.T
    return products


def reduce_width(rows: Floats) -> Floats:
    """Reduce float32 [N, D] to [N, R] with the same inner products, R at most 4096 where N or D is.

    Where both are larger, rows are projected on the space of 1024 evenly sampled rows, and the rest is lost.
    """
    space = RowSpace.if_fewer_rows_than_columns(rows)
    if space is not None:
        return space.coordinates
    if rows.shape[1] <= MOST_AXES:
        return rows
    return RowSpace(rows[evenly_spaced(np.arange(len(rows)), _N_SAMPLED)]).project(rows)

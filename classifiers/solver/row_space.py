"""Few long embeddings as short ones: coordinates in the space that the rows span, where all their products stay."""

from typing import Self

import numpy as np

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Floats, evenly_spaced

MOST_AXES = 4096
"""Axes up to which a decomposition is worth its time: about ten seconds, which grow with the cube of their number."""
_N_SAMPLED = 1024
_BLOCK_COLUMNS = 4096
_LEAST = 1e-12  # of the longest axis' eigenvalue: below it is nothing but rounding
_TINY = float(np.finfo(np.float32).tiny)


class RowSpace:
    """Axes at right angles that span some rows.

    A linear head with a penalty on its squared weights lies in the space of its rows: fitted on their coordinates it
    is the same head, and what was solved by D columns is solved by N rows.

    Attributes:
        coordinates: float32 [N, R], R <= N, of the rows.
    """

    def __init__(self, rows: Floats) -> None:
        """Decompose the products of float32 [N, D], N x N numbers."""
        squares, axes = np.linalg.eigh(row_products(rows))
        kept = squares >= max(_LEAST * squares[-1], _TINY)
        kept[-1] = True  # a place for rows that are all zero
        lengths = np.sqrt(np.maximum(squares[kept], _TINY))
        self._rows, self._axes = rows, axes[:, kept] / lengths
        self.coordinates: Floats = (axes[:, kept] * lengths).astype(np.float32)

    @classmethod
    def of_few(cls, rows: Floats) -> Self | None:
        """Give the space of float32 [N, D] where N is below D and small enough, else None."""
        n_rows, width = rows.shape
        return cls(rows) if n_rows < width and n_rows <= MOST_AXES else None

    def along(self, weights: Floats) -> Floats:
        """Give weights [C, D] as coordinates float32 [C, R]; what stands at right angles to all rows is lost."""
        coordinates: Floats = ((weights @ self._rows.T) @ self._axes).astype(np.float32)
        return coordinates

    def weights(self, coordinates: Floats) -> Floats:
        """Give float32 [C, D] for weights [C, R] of the coordinates."""
        weights: Floats = (coordinates @ self._axes.T).astype(np.float32) @ self._rows
        return weights


def row_products(rows: Floats) -> Doubles:
    """Multiply float32 [N, D] row by row: float64 [N, N]; some columns at once, so that no whole copy is made."""
    products = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _BLOCK_COLUMNS):
        block = rows[:, start : start + _BLOCK_COLUMNS].astype(np.float64)
        products += block @ block.T
    return products


def shortened(rows: Floats) -> Floats:
    """Give float32 [N, R] with the products of float32 [N, D], R at most 4096 where N or D is; what is short stays.

    Where both are larger, they are coordinates along the axes of 1024 of the rows, drawn evenly: what these rows do not
    span is left out.
    """
    space = RowSpace.of_few(rows)
    if space is not None:
        return space.coordinates
    if rows.shape[1] <= MOST_AXES:
        return rows
    return RowSpace(rows[evenly_spaced(np.arange(len(rows)), _N_SAMPLED)]).along(rows)

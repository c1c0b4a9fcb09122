"""What least squares say of each row when its image is left out, for all images from one decomposition."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import calibrated_margins, likelihood
from frieze.classifiers.solver.row_space import shortened
from frieze.core import Floats, Rows

_PENALTIES = (0.3, 1.0, 3.0, 10.0)
"""Of the squared weights, for unit vectors."""
_BLOCK_FLOATS = 1 << 24  # of coordinates held at once: 64 MB
_LEAST = 1e-6  # of what is left of a row without itself

Doubles = npt.NDArray[np.float64]


def ask_least_squares(embeddings: Floats, codes: Rows, images: Rows) -> Floats:
    """Give what ridge regression on all other images says of each row's class.

    Fitting without an image changes the fit in a known way, so that no fit is made anew. The penalty is the one that
    explains the given labels best.

    Args:
        embeddings: float32 [N, D], of unit length.
        codes: int64 [N] in 0..C-1.
        images: int64 [N] in 0..n-1, equal for near-duplicates: these are left out together.

    Returns:
        float32 [N, C], calibrated; each row sums to 1.

    Source: Allen 1974, The Relationship Between Variable Selection and Data Augmentation (PRESS); Cook and Weisberg
    1982, Residuals and Influence in Regression, section 3.4 (rows left out together).
    """
    fit = _Fit(embeddings, codes)
    copies = _copies(images)
    opinions = (calibrated_margins(fit.left_out(penalty, copies), codes) for penalty in _PENALTIES)
    return max(opinions, key=lambda found: likelihood(found, codes))


def _copies(images: Rows) -> list[Rows]:
    """Give the rows of each image that has several."""
    order = np.argsort(images, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(images[order])) + 1)
    return [rows for rows in groups if len(rows) > 1]


class _Fit:
    """All rows along the principal axes of the embeddings around their mean."""

    def __init__(self, embeddings: Floats, codes: Rows) -> None:
        self._embeddings = embeddings = shortened(embeddings)
        self._targets: Doubles = np.eye(int(codes.max()) + 1)[codes]  # [N, C]
        self._centre, self._share = embeddings.mean(axis=0), self._targets.mean(axis=0)
        products = sum(block.T @ block for _, block in self._blocks(None))
        lengths, axes = np.linalg.eigh(products)
        self._lengths, self._axes = np.maximum(lengths, 0), axes.astype(np.float32)
        along = sum(block.T @ self._targets[rows] for rows, block in self._blocks(self._axes))
        self._along: Doubles = np.asarray(along)  # [D, C]

    def _blocks(self, axes: Floats | None) -> Iterator[tuple[slice, Floats]]:
        step = max(1, _BLOCK_FLOATS // self._embeddings.shape[1])
        for start in range(0, len(self._embeddings), step):
            rows = slice(start, start + step)
            block = self._embeddings[rows] - self._centre
            yield rows, block if axes is None else block @ axes

    def left_out(self, penalty: float, copies: list[Rows]) -> Floats:
        """Give float32 [N, C], each row by the fit without its image."""
        rates = 1 / (self._lengths + penalty)
        residuals, own = np.empty_like(self._targets), np.empty(len(self._targets))
        for rows, block in self._blocks(self._axes):
            residuals[rows] = self._targets[rows] - self._share - block @ (rates[:, None] * self._along)
            own[rows] = np.square(block) @ rates + 1 / len(own)
        alone = residuals / np.maximum(1 - own, _LEAST)[:, None]
        for group in copies:
            alone[group] = self._without(group, rates, residuals[group])
        return (self._targets - alone).astype(np.float32)

    def _without(self, rows: Rows, rates: Doubles, residuals: Doubles) -> Doubles:
        """Give the residuals of rows by the fit without all of them."""
        block = (self._embeddings[rows] - self._centre) @ self._axes * np.sqrt(rates)
        wide = np.column_stack([block, np.full(len(rows), len(self._targets) ** -0.5)])  # the mean is fitted, too
        alone: Doubles
        if len(rows) <= wide.shape[1]:
            alone = np.linalg.solve(np.eye(len(rows)) * (1 + _LEAST) - wide @ wide.T, residuals)
        else:  # the same by Woodbury's formula
            left = np.eye(wide.shape[1]) * (1 + _LEAST) - wide.T @ wide
            alone = residuals + wide @ np.linalg.solve(left, wide.T @ residuals)
        return alone

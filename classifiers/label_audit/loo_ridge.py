"""Leave-one-out ridge regression (PRESS): predictions for each image without it, from one decomposition."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import calibrate_logits, mean_log_likelihood
from frieze.classifiers.solver.row_space import reduce_width
from frieze.core import Floats, Rows

_PENALTIES = (0.3, 1.0, 3.0, 10.0)
"""Factors of the squared weights, for unit vectors."""
_BLOCK_FLOATS = 1 << 24  # of coordinates held at once: 64 MB
_DAMPING = 1e-6  # added to the eigenvalues, one of which is 0 where all rows are of one image

Doubles = npt.NDArray[np.float64]


def loo_ridge_probabilities(embeddings: Floats, codes: Rows, images: Rows) -> Floats:
    """Predict the class of each row by ridge regression on all other images.

    The fit without an image follows from the fit with all of them in closed form. The penalty is the one with the
    highest likelihood of the labels.

    Args:
        embeddings: float32 [N, D], of unit length.
        codes: int64 [N] in 0..C-1.
        images: int64 [N] in 0..n-1, equal for near-duplicates, which are left out together.

    Returns:
        float32 [N, C], calibrated; each row sums to 1.

    Source: Allen 1974, The Relationship Between Variable Selection and Data Augmentation (PRESS); Cook and Weisberg
    1982, Residuals and Influence in Regression, section 3.4 (rows left out together).
    """
    fit = _Fit(embeddings, codes)
    copies = _copies(images)
    estimates = (calibrate_logits(fit.left_out(penalty, copies), codes)[0] for penalty in _PENALTIES)
    return max(estimates, key=lambda probabilities: mean_log_likelihood(probabilities, codes))


def _copies(images: Rows) -> list[Rows]:
    """Return the rows of each image that has near-duplicates."""
    order = np.argsort(images, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(images[order])) + 1)
    return [rows for rows in groups if len(rows) > 1]


class _Fit:
    """A ridge regression on the principal axes of the centred embeddings."""

    def __init__(self, embeddings: Floats, codes: Rows) -> None:
        self._embeddings = embeddings = reduce_width(embeddings)
        self._targets: Doubles = np.eye(int(codes.max()) + 1)[codes]  # [N, C]
        self._centre, self._class_shares = embeddings.mean(axis=0), self._targets.mean(axis=0)
        products = sum(block.T @ block for _, block in self._blocks(None))
        lengths, axes = np.linalg.eigh(products)
        self._lengths, self._axes = np.maximum(lengths, 0), axes.astype(np.float32)
        by_axis = sum(block.T @ self._targets[rows] for rows, block in self._blocks(self._axes))
        self._targets_by_axis: Doubles = np.asarray(by_axis)  # [D, C]

    def _blocks(self, axes: Floats | None) -> Iterator[tuple[slice, Floats]]:
        step = max(1, _BLOCK_FLOATS // self._embeddings.shape[1])
        for start in range(0, len(self._embeddings), step):
            rows = slice(start, start + step)
            block = self._embeddings[rows] - self._centre
            yield rows, block if axes is None else block @ axes

    def left_out(self, penalty: float, copies: list[Rows]) -> Floats:
        """Compute float32 [N, C], each row by the fit without its image."""
        shrinkage = 1 / (self._lengths + penalty)
        residuals, leverages = np.empty_like(self._targets), np.empty(len(self._targets))
        for rows, block in self._blocks(self._axes):
            residuals[rows] = (
                self._targets[rows] - self._class_shares - block @ (shrinkage[:, None] * self._targets_by_axis)
            )
            leverages[rows] = np.square(block) @ shrinkage + 1 / len(leverages)
        residuals_without = residuals / (1 - leverages)[:, None]
        for group in copies:
            residuals_without[group] = self._residuals_without(group, shrinkage, residuals[group])
        return (self._targets - residuals_without).astype(np.float32)

    def _residuals_without(self, rows: Rows, shrinkage: Doubles, residuals: Doubles) -> Doubles:
        """Compute the residuals of rows by the fit without all of them."""
        block = (self._embeddings[rows] - self._centre) @ self._axes * np.sqrt(shrinkage)
        scaled = np.column_stack([block, np.full(len(rows), len(self._targets) ** -0.5)])  # the mean is fitted, too
        residuals_without: Doubles
        if len(rows) <= scaled.shape[1]:
            residuals_without = np.linalg.solve(np.eye(len(rows)) * (1 + _DAMPING) - scaled @ scaled.T, residuals)
        else:  # the same by the Woodbury identity
            remainder = np.eye(scaled.shape[1]) * (1 + _DAMPING) - scaled.T @ scaled
            residuals_without = residuals + scaled @ np.linalg.solve(remainder, scaled.T @ residuals)
        return residuals_without

"""Outliers: images that are unusually far from their k nearest neighbours."""

import numpy as np

from frieze.core import Floats, Rows

_N_NEIGHBOURS = 10  # k
_N_CANDIDATES = 30
_FENCE_RANGES = 3  # interquartile ranges above the upper quartile
_MIN_RANGE = 1e-6  # of distances: equal distances make no outliers by rounding


def find_outliers(nearest: Floats, group_sizes: Rows) -> tuple[Rows, Floats]:
    """Find the rows whose nearest neighbours are far, compared with the rest of the collection.

    The distance of a row is 1 - its mean cosine to its 10 nearest rows. Its near-duplicates are skipped, 20 at most: an
    image with more copies is no outlier. Outliers are more than three interquartile ranges above the upper quartile, of
    normally distributed distances about one in a million.

    Args:
        nearest: float32 [N, k], cosines of each row to its k nearest rows, best first, the row itself included;
            k = min(N, N_NEIGHBOURS).
        group_sizes: int64 [N], near-duplicates of each row, the row itself included.

    Returns:
        rows: int64 [n], the farthest first.
        scores: float32 [n] in [0, 1]: 0 at the fence, near 1 far beyond it.

    Source: Angiulli and Pizzuti 2002, Fast Outlier Detection in High Dimensional Spaces (mean distance to the k
    nearest); Tukey 1977, Exploratory Data Analysis, section 2D (the outer fence).
    """
    distances = 1 - _mean_scores(nearest, group_sizes)
    lower, upper = np.quantile(distances, (0.25, 0.75))
    fence = _FENCE_RANGES * max(upper - lower, _MIN_RANGE)
    rows = np.flatnonzero(distances > upper + fence)
    rows = rows[np.argsort(-distances[rows], kind="stable")]
    return rows, (1 - fence / (distances[rows] - upper)).astype(np.float32)


def _mean_scores(nearest: Floats, group_sizes: Rows) -> Floats:
    """Compute the mean of each row's 10 best scores after those of its copies, float32 [N]; fewer in a small table."""
    nearest = nearest[:, :_N_CANDIDATES]
    n_candidates = nearest.shape[1]
    n_skipped = np.minimum(group_sizes, max(1, n_candidates - _N_NEIGHBOURS))[:, None]
    positions = np.arange(n_candidates)
    is_counted = (positions >= n_skipped) & (positions < n_skipped + _N_NEIGHBOURS)  # [N, k]
    mean_scores: Floats = (nearest * is_counted).sum(axis=1) / is_counted.sum(axis=1).clip(1)
    return mean_scores

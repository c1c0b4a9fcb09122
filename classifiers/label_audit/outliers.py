"""Images that are far from their own class and from everything else."""

import numpy as np

from frieze.core import Floats, Rows

_N_COUNTED = 10  # the usual k
_N_LOOKED = 30
_FAR_OUT = 3  # interquartile ranges above the upper quartile
_LEAST_RANGE = 1e-6  # of distances, so that a collection of equal distances has no outliers by rounding


def find_outliers(nearest: Floats, group_sizes: Rows) -> tuple[Rows, Floats]:
    """Find the rows whose nearest neighbours are far, measured by what is usual in the collection.

    How far a row is, is one less its mean cosine to its 10 nearest rows, copies of its own passed over (20 at most: an
    image that is there more often is no outlier). Listed are rows more than three interquartile ranges above the upper
    quartile of all rows: of normally distributed distances about one in a million, so that most collections list few.

    Args:
        nearest: float32 [N, k], cosines of each row to its k nearest rows, best first, itself among them;
            k = min(N, N_NEIGHBOURS).
        group_sizes: int64 [N], how many near-duplicates each row has, itself included.

    Returns:
        rows: int64 [n], the farthest first.
        scores: float32 [n] in [0, 1]: 0 at the fence, near 1 where the row is many times as far.

    Source: Angiulli and Pizzuti 2002, Fast Outlier Detection in High Dimensional Spaces (mean distance to the k
    nearest); Tukey 1977, Exploratory Data Analysis, section 2D (the outer fence).
    """
    distances = 1 - _means(nearest, group_sizes)
    lower, upper = np.quantile(distances, (0.25, 0.75))
    fence = _FAR_OUT * max(upper - lower, _LEAST_RANGE)
    rows = np.flatnonzero(distances > upper + fence)
    rows = rows[np.argsort(-distances[rows], kind="stable")]
    return rows, (1 - fence / (distances[rows] - upper)).astype(np.float32)


def _means(nearest: Floats, group_sizes: Rows) -> Floats:
    """Give the mean of each row's 10 scores behind those of its copies, float32 [N]; of a small table, of fewer."""
    nearest = nearest[:, :_N_LOOKED]
    n_found = nearest.shape[1]
    passed = np.minimum(group_sizes, max(1, n_found - _N_COUNTED))[:, None]
    places = np.arange(n_found)
    is_counted = (places >= passed) & (places < passed + _N_COUNTED)  # [N, k]
    means: Floats = (nearest * is_counted).sum(axis=1) / is_counted.sum(axis=1).clip(1)
    return means

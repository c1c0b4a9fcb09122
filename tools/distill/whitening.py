"""The last step: directions in which crops of one image differ from it count less."""

from collections.abc import Sequence

import numpy as np

_SHRINKAGE = 0.1
"""Of the mean variance, added to each: a direction in which hardly anything varies is not blown up."""


def whitening(whole: np.ndarray, crops: Sequence[np.ndarray]) -> np.ndarray:
    """Find the linear map after which images differ from their crops alike in all directions.

    This is within-class covariance normalization (Hatch, Kajarekar and Stolcke, 2006), a class being the views of one
    image. Where the last layer is linear it takes the map up, which then costs nothing.

    Args:
        whole: float32 [N, D], of unit length.
        crops: One or more, each float32 [N, D], of unit length: crops of the same images.

    Returns:
        float32 [D, D], symmetric; its scale is such that a direction of mean variance keeps its length.
    """
    variances, axes = np.linalg.eigh(sum((crop - whole).T @ (crop - whole) for crop in crops))
    scales = (variances / variances.mean() + _SHRINKAGE) ** -0.5
    change: np.ndarray = axes * scales @ axes.T
    return change

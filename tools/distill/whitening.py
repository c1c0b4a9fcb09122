"""Whitening: scales down the directions in which crops differ from their image."""

from collections.abc import Sequence

import numpy as np

_SHRINKAGE = 0.1
"""Share of the mean variance that is added to each: a direction of hardly any variance is not amplified."""


def whitening(whole: np.ndarray, crops: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the linear map after which images differ from their crops alike in all directions.

    This is within-class covariance normalization (Hatch, Kajarekar and Stolcke, 2006), a class being the views of one
    image. A linear last layer absorbs the map at no cost.

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

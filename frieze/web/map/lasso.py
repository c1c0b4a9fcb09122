"""A lasso: the method of a map and a polygon on it, as one text that an address can hold."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError
from frieze.reports.projection import METHODS

_MOST_CORNERS, _LEAST_CORNERS = 500, 3


class Lasso(NamedTuple):
    """A polygon on a map.

    Attributes:
        method: The method of the map.
        corners: float64 [c, 2], in the coordinates of the points.
    """

    method: str
    corners: npt.NDArray[np.float64]


def read_lasso(text: str) -> Lasso:
    """Read `METHOD:x,y;x,y;...`.

    Raises:
        InputError: It is no such text.

    >>> read_lasso("pca:0,0;1,0;1,1").corners.tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    method, _, polygon = text.partition(":")
    try:
        corners = np.array([[float(one) for one in corner.split(",")] for corner in polygon.split(";")])
    except ValueError:
        corners = np.empty(0)
    is_polygon = corners.ndim == 2 and corners.shape[1] == 2 and np.isfinite(corners).all()  # noqa: PLR2004  a plane
    if method not in METHODS or not is_polygon or not _LEAST_CORNERS <= len(corners) <= _MOST_CORNERS:
        raise InputError(
            "The lasso is no polygon on a map.", hint="Use `lasso=METHOD:x,y;x,y;x,y` with 3 to 500 corners."
        )
    return Lasso(method, corners)


def find_inside(positions: Floats, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return for each point [n, 2] whether a ray from it crosses the polygon an odd number of times, bool [n]."""
    is_near: npt.NDArray[np.bool_] = ((positions >= corners.min(axis=0)) & (positions <= corners.max(axis=0))).all(
        axis=1
    )
    x, y = positions[is_near].astype(np.float64).T
    is_inside = np.zeros(len(x), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        if y1 != y2:
            is_inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    is_near[is_near] = is_inside
    return is_near

"""Pictures whose statistics are unusual in their collection: dark, blurred, or of an odd shape."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from frieze.core import Floats, Rows

_FENCE = 3.5
"""Modified z-scores beyond this are outliers. Source: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers."""
_DEVIATIONS_PER_MAD = 1.4826  # of a normal distribution
_LEAST_DEVIATION = 0.1  # of logarithms, a tenth: in a uniform collection small differences are no outliers
_LEAST_VALUE = 1e-3


class _Kind(NamedTuple):
    """A kind of unusual picture.

    Attributes:
        column: The statistic.
        measure: Its values -> float64 [N], on the scale on which they are compared.
        is_low: Whether only low values are unusual.
    """

    column: str
    measure: Callable[[Floats], Floats]
    is_low: bool


def _logarithm(values: Floats) -> Floats:
    return np.log(np.maximum(values, _LEAST_VALUE))


def _elongation(aspects: Floats) -> Floats:
    """Return the logarithm of the longer side over the shorter one: turning a picture does not change it."""
    return np.abs(_logarithm(aspects))


_KINDS = {
    "dark": _Kind("brightness", _logarithm, is_low=True),
    "blurred": _Kind("sharpness", _logarithm, is_low=True),
    "odd_size": _Kind("aspect", _elongation, is_low=False),
}


def find_unusual_pictures(statistics: Mapping[str, Floats]) -> Iterator[tuple[str, Rows, Floats]]:
    """Find the pictures that are much darker, less sharp or of another shape than the rest of the collection.

    Logarithms are compared by the modified z-score: the distance from the median in units of the median absolute
    deviation, scaled to a standard deviation, at least .1. Unusual is a score beyond 3.5.

    Args:
        statistics: `brightness`, `sharpness` and `aspect`, float [N]; NaN for an unknown value, which is never unusual.

    Yields:
        The kind (`dark`, `blurred` or `odd_size`), its rows, int64 [n], and their scores, float32 [n] in [0, 1]: 0 at
        the fence, near 1 far beyond it.
    """
    for name, kind in _KINDS.items():
        values = kind.measure(np.asarray(statistics[kind.column], np.float64))
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        centre = np.median(known)
        deviation = max(_LEAST_DEVIATION, _DEVIATIONS_PER_MAD * float(np.median(np.abs(known - centre))))
        scores = (centre - values) / deviation
        scores = np.nan_to_num(scores if kind.is_low else np.abs(scores))
        rows = np.flatnonzero(scores > _FENCE)
        yield name, rows, (1 - _FENCE / scores[rows]).astype(np.float32)

"""The bins of a histogram: of numbers with round edges, of dates by calendar; the outer two hold the tails."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows

N_BINS = 24
_TAIL = 0.01  # share of the values below and above the inner edges
_ROUND = (1, 2, 2.5, 5, 10)
_SPANS = (
    (1, "h"),
    (6, "h"),
    (1, "D"),
    (7, "D"),
    (1, "M"),
    (3, "M"),
    (1, "Y"),
    (2, "Y"),
    (5, "Y"),
    (10, "Y"),
    (100, "Y"),
)
_SHIFTS = {"W": 4, "Y": -1970}  # of the first Monday of 1970 in days, and of the year 0
_Dates = npt.NDArray[np.datetime64]


class Bins(NamedTuple):
    """Bins of a column.

    Attributes:
        edges: The inner edges [B - 1], ascending: a list of floats, or datetime64 in UTC.
        codes: int64 [N], the bin of each row, from 0; -1 where there is no value.
    """

    edges: Any
    codes: Rows


def number_bins(values: Floats, *, is_integer: bool) -> Bins:
    """Return at most `N_BINS` bins of numbers, float32 or float64 [N], some perhaps NaN; edges of integers are whole.

    >>> number_bins(np.arange(1000.0), is_integer=True).edges[:3]
    [50.0, 100.0, 150.0]
    """
    usable = values[np.isfinite(values)]
    low, high = np.quantile(usable, [_TAIL, 1 - _TAIL]) if len(usable) else (0.0, 0.0)
    if low == high:
        low, high = (usable.min(), usable.max()) if len(usable) else (0.0, 0.0)
    step = _round_step((high - low) / (N_BINS - 2), is_integer=is_integer)
    first, last = math.floor(low / step) + 1, math.ceil(high / step) - 1
    edges = [float(f"{number * step:.12g}") for number in range(first, max(first, last) + 1)]
    codes = np.searchsorted(np.asarray(edges, values.dtype), values, side="right").astype(np.int64)
    return Bins(edges, np.where(np.isnan(values), -1, codes))


def _round_step(least: float, *, is_integer: bool) -> float:
    """Return the smallest round number that is not below another one."""
    if least <= 0 or not math.isfinite(least):
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in _ROUND if factor * power >= least * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if is_integer else step


def date_bins(values: _Dates) -> Bins:
    """Return the bins of dates datetime64 [N] in UTC, of which some may be NaT: hours, days, weeks, months or years.

    >>> date_bins(np.arange("2024-01", "2025-01", dtype="M8[D]")).edges.astype(str).tolist()[:2]
    ['2024-02', '2024-03']
    """
    usable = values[~np.isnat(values)]
    if not len(usable):
        return Bins(values[:0], np.full(len(values), -1))
    first, last = usable.min(), usable.max()
    starts = next(
        starts for span in _SPANS if len(starts := _starts(first, last, *span)) <= N_BINS or span == _SPANS[-1]
    )
    edges = starts[1:]
    codes = np.searchsorted(edges.astype(values.dtype), values, side="right").astype(np.int64)
    return Bins(edges, np.where(np.isnat(values), -1, codes))


def _starts(first: np.datetime64, last: np.datetime64, count: int, unit: str) -> _Dates:
    """Return the starts of the spans in which two dates and all between them lie."""
    low, high = (int(date.astype(f"M8[{unit}]").astype(np.int64)) for date in (first, last))
    shift = _SHIFTS.get("W" if (count, unit) == (7, "D") else unit, 0)
    low = (low - shift) // count * count + shift
    starts: _Dates = np.arange(low, high + 1, count, dtype=np.int64).astype(f"M8[{unit}]")
    return starts

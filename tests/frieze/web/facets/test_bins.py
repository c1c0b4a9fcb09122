"""The bins of histograms: round edges, every value in one bin, tails in the outer two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.web.facets.bins import N_BINS, date_bins, number_bins

NUMBERS = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50)


@given(NUMBERS, st.sampled_from([np.float32, np.float64]), st.booleans())
def test_every_number(values, dtype, is_integer):
    """Each number lies in the bin whose edges it is between, and there are at most `N_BINS`; NaN is in none."""
    numbers = np.array([*values, np.nan], dtype)
    edges, codes = number_bins(numbers, is_integer=is_integer)
    assert edges == sorted(set(edges))
    assert len(edges) < N_BINS
    bounds = np.array([-np.inf, *edges, np.inf], dtype)
    assert codes[-1] == -1
    for number, code in zip(numbers[:-1], codes[:-1], strict=True):
        assert bounds[code] <= number <= bounds[code + 1]


def test_round_edges():
    """Edges are round, also where the values are small; one far value does not widen all bins."""
    assert number_bins(np.linspace(0, 1, 1000), is_integer=False).edges[:3] == [0.05, 0.1, 0.15]
    edges = number_bins(np.array([*range(1000), 1e12]), is_integer=True).edges
    assert (edges[0], edges[-1]) == (50, 950)


@pytest.mark.parametrize(
    ("days", "edges"),
    [
        (0.1, ["2024-02-28T23", "2024-02-29T00"]),
        (10, ["2024-02-29", "2024-03-01"]),
        (60, ["2024-03-04", "2024-03-11"]),
        (400, ["2024-03", "2024-04"]),
        (8000, ["2025", "2026"]),
        (200_000, ["2100", "2200"]),
    ],
)
def test_calendar(days, edges):
    """Dates are binned by hours, days, weeks from Monday, months or years, as many as fit."""
    start = np.datetime64("2024-02-28T22:10", "us") if days < 1 else np.datetime64("2024-02-28T22:10", "s")
    moments = start + np.linspace(0, days * 86_400, 50).astype("m8[s]")
    bins = date_bins(np.append(moments, np.datetime64("NaT")))
    assert bins.edges.astype(str).tolist()[:2] == edges
    assert len(bins.edges) < N_BINS
    assert bins.codes[-1] == -1
    bounds = bins.edges.astype(moments.dtype)
    assert bins.codes[:-1].tolist() == [int((bounds <= moment).sum()) for moment in moments]


def test_nothing():
    """A column without values has one bin, which nothing is in."""
    assert number_bins(np.full(3, np.nan), is_integer=False).codes.tolist() == [-1] * 3
    assert date_bins(np.full(3, "NaT", "M8[s]")).codes.tolist() == [-1] * 3

"""Agreement of two pictures, one laid on the other."""

import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.search.made_images import photograph
from frieze.indexing.duplicates.agreement import estimate_correlation, measure_agreement
from frieze.indexing.duplicates.alignment import Picture, invert
from frieze.indexing.duplicates.laid import lay

LARGE, SMALL = (Picture(np.asarray(photograph(0, (192, 144)).resize(size))) for size in ((192, 144), (96, 72)))
ONTO = np.array([[2.0, 0, 0.5], [0, 2, 0.5]])
"""The map of a picture of half the size."""


@pytest.mark.parametrize(("shift_px", "is_near"), [(0, True), (3, True), (30, False), (60, False)])
def test_the_estimate_tells_maps_that_hold(shift_px, is_near):
    """At 64 pixels a map that holds within some pixels agrees, and another does not; whichever is laid on which."""
    matrix = ONTO + np.array([[0, 0, shift_px], [0, 0, 0]])
    estimates = estimate_correlation(LARGE, SMALL, matrix), estimate_correlation(SMALL, LARGE, invert(matrix))
    assert [estimate >= 0.45 for estimate in estimates] == [is_near] * 2
    assert estimates[0] == pytest.approx(estimates[1], abs=0.02)


def test_the_estimate_of_what_is_smooth_is_no_reason():
    """Pictures that show nothing in 64 pixels are not turned down by them."""
    plain = Picture(np.full((144, 192, 3), 120, np.uint8))
    assert estimate_correlation(plain, plain, np.eye(2, 3)) == 1


def test_of_unrelated_pictures_only_the_correlation_is_measured():
    """Below a correlation of .5 everything else says that they don't agree."""
    other = Picture(np.asarray(Image.fromarray(LARGE.rgb).transpose(Image.Transpose.FLIP_TOP_BOTTOM)))
    agreement = measure_agreement(lay(LARGE, other, np.eye(2, 3)))
    assert agreement.correlation < 0.5
    assert (agreement.different, agreement.shifted, agreement.n_textured) == (1, 1, 0)


def test_patches_are_measured_where_all_else_agrees():
    """Where the correlation already is that of other pictures, what costs more has its worst values: no copies."""
    noise = np.random.default_rng(0).normal(0, 40, LARGE.rgb.shape)
    noisy = Picture(np.clip(LARGE.rgb + noise, 0, 255).astype(np.uint8))
    same, other = (measure_agreement(lay(LARGE, picture, np.eye(2, 3))) for picture in (LARGE, noisy))
    assert same.is_clear
    assert (same.shifted, same.patch, same.changed) == (0, 0, 0)
    assert 0.5 < other.correlation < 0.95
    assert not other.may_be_clear
    assert (other.shifted, other.changed) == (1, math.inf)


def test_matched_colours():
    """Whichever of two pictures lost its colours, its luma is explained by the colours of the other."""
    red = Picture(np.repeat(LARGE.rgb[..., :1], 3, axis=2))
    pairs = (LARGE, red), (red, LARGE)
    assert [measure_agreement(lay(*pair, np.eye(2, 3))).correlation > 0.99 for pair in pairs] == [True, True]

"""The options `scale` and `bands`."""

import pytest

from frieze.core import InputError
from frieze.embedder.images.sample_range import SampleRange, split_decoding


@pytest.mark.parametrize(
    ("scale", "bands", "suffix"),
    [
        (None, None, ""),
        ("0..1", None, "+scale=0..1"),
        (" -0.50 .. 1e20", "4, 3,2", "+scale=-0.5..1e+20+bands=4,3,2"),
        ("0...5", "8", "+scale=0..0.5+bands=8"),
    ],
)
def test_stored_form(scale, bands, suffix):
    """Options have one stored form, from which they are read again."""
    samples = SampleRange.of(stretch=False, scale=scale, bands=bands)
    assert samples.suffix == suffix
    assert split_decoding(f"pillow-3{suffix}") == ("pillow-3", samples)


@pytest.mark.parametrize("scale", ["1", "1..0", "0..0", "a..b", "0..inf", "nan..1", "..5", "0..1..2"])
def test_no_scale(scale):
    """What is no range of finite numbers is refused with an example."""
    with pytest.raises(InputError, match="is no range") as caught:
        SampleRange.of(stretch=False, scale=scale, bands=None)
    assert "scale='0..1'" in caught.value.hint


@pytest.mark.parametrize("bands", ["0,1,2", "1,2", "a", "1,2,3,4", "", "-1", "1.5"])
def test_no_bands(bands):
    """What are no three bands, and not one, is refused with an example."""
    with pytest.raises(InputError, match="are not the bands") as caught:
        SampleRange.of(stretch=False, scale=None, bands=bands)
    assert "bands='4,3,2'" in caught.value.hint


def test_stretch_and_scale():
    """Both say what is black and white."""
    with pytest.raises(InputError, match="states them for all"):
        SampleRange.of(stretch=True, scale="0..1", bands=None)

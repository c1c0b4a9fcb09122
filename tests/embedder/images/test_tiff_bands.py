"""TIFF files of many bands and of floating-point samples, by a stated scale; NumPy is the judge."""

import io

import numpy as np
import pytest

from frieze.core import ImageError
from frieze.embedder.images import tiff_bands
from frieze.embedder.images.decode import VERSION, DecodeOptions, decode, decoded
from frieze.embedder.images.upright_size import read_upright_size
from frieze.embedder.sources.boxes.crop import crop_all

tifffile = pytest.importorskip("tifffile")

RANDOM = np.random.default_rng(0)
CUBE = RANDOM.uniform(0, 1, (24, 32, 6))
"""Six bands of reflectances."""


def written(values, **options):
    """Return a TIFF of samples [h, w, n], or [n, h, w] with `planarconfig="separate"`."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **({"photometric": "minisblack", "planarconfig": "contig"} | options))
    return file.getvalue()


def levels_of(data, suffix):
    """Decode to int [h, w, 3]."""
    with decoded(data, side_px=64, decoding=VERSION + suffix) as actual:
        assert actual.image.mode == "RGB"
        return np.asarray(actual.image, int)


def scaled(values, low, high):
    """Return the levels by hand."""
    return np.floor((np.clip(values, low, high) - low) / (high - low) * 255 + 0.5).astype(int)


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("is_planar", [False, True])
def test_bands_and_scale(dtype, is_planar):
    """Three stated bands become red, green and blue, scaled by the stated range and cut at its ends."""
    cube = (CUBE * 9000).astype(dtype)
    data = written(np.moveaxis(cube, -1, 0), planarconfig="separate") if is_planar else written(cube)
    expected = scaled(cube[..., [3, 2, 0]].astype(float), 500, 8000.5)
    assert np.array_equal(levels_of(data, "+scale=500..8000.5+bands=4,3,1"), expected)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("n_bands", [2, 3, 6])
def test_size(n_bands, orientation):
    """The size is read from the header, upright, though Pillow does not read the pixels."""
    data = written(CUBE[..., :n_bands].astype("f4"), extratags=[(274, "H", 1, orientation, True)])
    with decoded(data, side_px=64, decoding=f"{VERSION}+scale=0..1+bands={n_bands}") as actual:
        assert read_upright_size(data) == actual.size == actual.image.size


def test_parts():
    """A part is cut from the bands as they are shown."""
    data, decoding = written(CUBE.astype("f4")), f"{VERSION}+scale=0..1+bands=4,3,2"
    (part,) = crop_all(data, [(5, 7, 20, 10)], DecodeOptions(64, decoding=decoding))
    assert np.array_equal(
        levels_of(part, decoding.removeprefix(VERSION)), levels_of(data, "+scale=0..1+bands=4,3,2")[7:17, 5:25]
    )


def test_one_band_is_grey():
    """One stated band is grey; NaN is black."""
    cube = CUBE.astype("f4")
    cube[0, 0] = np.nan
    expected = scaled(np.nan_to_num(cube[..., [5] * 3]).astype(float), 0, 1)
    assert np.array_equal(levels_of(written(cube), "+scale=0..1+bands=6"), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", ["", "+scale=0..1", "+stretch"])
@pytest.mark.parametrize("bands", ["", "+bands=4,3,2"])
def test_no_values(value, suffix, bands):
    """An image without a finite value, a tile without data, is a failure, not a black picture."""
    shape = (8, 9, 7) if bands else (8, 9)
    with pytest.raises(ImageError, match="every pixel is NaN or infinite") as caught:
        levels_of(written(np.full(shape, value, "f4")), suffix + bands)
    assert caught.value.reason == "no values"


def test_bands_of_8_bits_stay():
    """Bands of 8 bits have their range, whatever scale is stated for deeper images."""
    cube = (CUBE * 255).astype("u1")
    assert np.array_equal(levels_of(written(cube), "+scale=0..1+bands=4,3,2"), cube[..., [3, 2, 1]])


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_compressed(compression):
    """Compressed files with a predictor are read."""
    pytest.importorskip("imagecodecs")
    cube = (CUBE * 9000).astype("u2")
    data = written(cube, compression=compression, predictor=True, tile=(16, 16))
    assert np.array_equal(levels_of(data, "+scale=0..9000+bands=1,2,3"), scaled(cube[..., :3].astype(float), 0, 9000))


def test_floating_point_colours():
    """Red, green and blue of floating point need a scale alone; those of one grey, which Pillow reads, too."""
    colours = CUBE[..., :3].astype("f4")
    assert np.array_equal(levels_of(written(colours, photometric="rgb"), "+scale=0..1"), scaled(colours, 0, 1))
    grey = written(colours[..., 0])
    assert np.array_equal(levels_of(grey, "+scale=-1..1"), scaled(colours[..., [0] * 3], -1, 1))


def test_scale_of_16_bits():
    """The scale holds for grey and colours of 16 bits, and not for 8 bits."""
    colours = (CUBE[..., :3] * 4000).astype("u2")
    assert np.array_equal(levels_of(written(colours, photometric="rgb"), "+scale=0..4000"), scaled(colours, 0, 4000))
    shallow = (CUBE[..., :3] * 200).astype("u1")
    assert np.array_equal(levels_of(written(shallow, photometric="rgb"), "+scale=0..4000"), shallow)


def test_stretch_of_bands():
    """With `--stretch` the chosen bands take their own lowest and highest value."""
    chosen = CUBE[..., [1, 2, 3]]
    expected = scaled(chosen, chosen.min(), chosen.max())
    assert np.array_equal(levels_of(written(CUBE), "+stretch+bands=2,3,4"), expected)


def test_band_of_infrared():
    """Of red, green, blue and a fourth band, which Pillow drops, the fourth can be chosen."""
    four = (CUBE[..., :4] * 255).astype("u1")
    data = written(four, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(levels_of(data, "+bands=4,1,2"), four[..., [3, 0, 1]])
    assert np.array_equal(levels_of(data, ""), four[..., :3])


def test_orientation():
    """A file is turned upright by its orientation."""
    cube = (CUBE * 255).astype("u1")
    data = written(cube, extratags=[(274, "H", 1, 6, True)])
    assert np.array_equal(levels_of(data, "+bands=1,2,3"), np.rot90(cube[..., :3], -1))


@pytest.mark.parametrize(
    ("values", "suffix", "message"),
    [
        (CUBE.astype("u2"), "", r"a TIFF of other bands than colours \(6 bands of 16 bits\); --bands 4,3,2"),
        (CUBE.astype("u2"), "+bands=9,2,1", "has no band 9, which --bands asks for, but 6 bands of 16 bits"),
        (CUBE.astype("f4"), "+bands=3,2,1", r"no fixed range: floating-point pixels; --scale LOW\.\.HIGH"),
        (CUBE[..., 0].astype("f2"), "", r"no fixed range: floating-point pixels; --scale LOW\.\.HIGH"),
        (CUBE.astype("c8"), "+bands=3,2,1", "complex64 is not read"),
        ((CUBE * -9).astype("i2"), "+bands=3,2,1", r"no fixed range: values beyond 16 bits, or below 0; --scale"),
    ],
)
def test_refused(values, suffix, message):
    """Without bands or scale a file is refused, with what to type."""
    with pytest.raises(ImageError, match=message):
        levels_of(written(values), suffix)


def test_without_tifffile(monkeypatch):
    """Where tifffile is missing, the failure names the extra, and a later run with it tries the image again."""
    monkeypatch.setattr(tiff_bands, "can_read_bands", lambda: False)
    with pytest.raises(
        ImageError, match=r"a scientific TIFF; to read it: pip install 'frieze\[formats\]' \(6 bands of 64"
    ):
        decode(written(CUBE), side_px=64)


def test_too_many_samples():
    """Bands count as pixels do: a small file that claims billions of samples costs no memory."""
    image = decoded(written(CUBE), side_px=64, max_pixels=1000, decoding=VERSION + "+bands=1,2,3")
    with pytest.raises(ImageError, match="768 pixels of 6 bands; the limit is 4,000 samples"), image:
        pass


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_truncated(cut, capfd):
    """A truncated file is a failure, and nothing is printed."""
    data = written((CUBE * 255).astype("u1"))
    with pytest.raises(ImageError):
        levels_of(data[: int(len(data) * cut)], "+bands=1,2,3")
    assert capfd.readouterr() == ("", "")

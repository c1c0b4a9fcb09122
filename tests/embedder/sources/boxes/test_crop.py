"""The pixels of a box: Pillow's crop of the upright image is the judge."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from frieze.core import ImageError
from frieze.embedder.images.decode import MIN_DRAFT_PX, VERSION, DecodeOptions, decode
from frieze.embedder.images.sample_range import STRETCH
from frieze.embedder.sources.boxes import crop
from frieze.embedder.sources.boxes.crop import crop_all, split_part
from frieze.embedder.sources.open import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


@pytest.fixture
def photo(tmp_path):
    """A PNG of 40 x 30 pixels whose EXIF orientation turns it to 30 x 40."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    return tmp_path / "a.png"


UPRIGHT = np.rot90(PIXELS, -1)
BOXES = {
    (5, 10, 20, 15): UPRIGHT[10:25, 5:25],
    (0, 0, 30, 40): UPRIGHT,
    (20, 30, 50, 50): UPRIGHT[30:, 20:],
    (-5, -5, 10, 8): UPRIGHT[:3, :5],
}


@pytest.mark.parametrize("box", BOXES)
def test_pixels(photo, box):
    """A box is cut from the upright image, bit by bit; what lies outside of the image is cut off."""
    data = read_image(f"{photo}#{','.join(map(str, box))}")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), BOXES[box])


@pytest.mark.parametrize(
    ("box", "reason"), [((30, 0, 5, 5), "outside"), ((1, 1, 0, 5), "empty box"), ((1, 1, 5, -2), "empty box")]
)
def test_no_pixel(photo, box, reason):
    """A box beyond the image, and one of zero or negative size, is a failure with its reason."""
    with pytest.raises(ImageError) as caught:
        read_image(f"{photo}#{','.join(map(str, box))}")
    assert caught.value.reason == reason


def test_broken_image(photo):
    """Each box of a broken image has the image's failure."""
    contents = list(crop_all(photo.read_bytes()[:80], [(0, 0, 5, 5)] * 3))
    assert [type(one) for one in contents] == [ImageError] * 3


def test_file_of_that_name(photo):
    """A file whose own name ends like a box is that file."""
    named = photo.rename(f"{photo}#1,2,3,4")
    assert split_part(str(named)) is None
    assert read_image(str(named)) == named.read_bytes()


@pytest.fixture
def large(monkeypatch):
    """A JPEG of 152 x 148 pixels, turned upright by EXIF to 148 x 152; and its upright pixels by Pillow.

    A fraction of it may have sides of 32 pixels, where it is 896 for real images.
    """
    monkeypatch.setitem(MIN_DRAFT_PX, VERSION, 32)
    monkeypatch.setattr(crop, "_LEAST_DRAFT_PX", 32)
    coarse = Image.fromarray(np.random.default_rng(1).integers(0, 256, (5, 5, 3), np.uint8))
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    coarse.resize((152, 148), Image.Resampling.BICUBIC).save(file, "JPEG", exif=exif, quality=90)
    return file.getvalue(), ImageOps.exif_transpose(Image.open(file))


LARGE_BOXES = [(0, 0, 74, 76), (36, 40, 80, 72), (3, 5, 20, 16), (72, 76, 76, 76)]
NETWORK = DecodeOptions(16)


def test_fractions(large):
    """Boxes larger than the network needs are cut from a fraction, and state their full size; others are exact."""
    data, upright = large
    for box, content in zip(LARGE_BOXES, crop_all(data, LARGE_BOXES, NETWORK), strict=True):
        x, y, width, height = box
        part = upright.crop((x, y, x + width, y + height))
        image, size = decode(content, side_px=16)
        assert size == part.size
        assert image.width == (width // 2 if min(width, height) >= 64 else width)
        difference = np.subtract(image.resize((16, 16)), part.resize((16, 16)), dtype=np.int16)
        assert np.abs(difference).mean() < 2


def test_batches_do_not_matter(large):
    """A box has the same bytes whatever the other boxes of its batch are."""
    data, _ = large
    together = list(crop_all(data, LARGE_BOXES, NETWORK))
    assert [next(crop_all(data, [box], NETWORK)) for box in LARGE_BOXES] == together


def test_decoded_once(large, monkeypatch):
    """An image is decoded once for each fraction that its boxes need."""
    sides, real = [], crop.decode_as
    monkeypatch.setattr(crop, "decode_as", lambda data, options: sides.append(options.side_px) or real(data, options))
    list(crop_all(large[0], [LARGE_BOXES[0], LARGE_BOXES[2], LARGE_BOXES[0], LARGE_BOXES[2]], NETWORK))
    assert len(sides) == 2


def test_read_as_stored(large, tmp_path):
    """The stored sha256 gives a part the pixels that a table has, at a fraction too; of another image it gives none."""
    (tmp_path / "a.jpg").write_bytes(large[0])
    uri = f"{tmp_path}/a.jpg#0,0,74,76"
    (stored,) = crop_all(large[0], [LARGE_BOXES[0]], NETWORK)
    assert read_image(uri, sha256=hashlib.sha256(stored).hexdigest()) == stored
    assert read_image(uri, sha256="0" * 64) == read_image(uri) != stored


def test_limit(photo):
    """The limit of pixels is that of the run."""
    for max_pixels, kind in ((1199, ImageError), (1200, bytes)):
        (content,) = crop_all(photo.read_bytes(), [(0, 0, 5, 5)], DecodeOptions(224, max_pixels))
        assert isinstance(content, kind)


def test_stretched():
    """With stretching the whole image's range counts, before parts are cut."""
    file = io.BytesIO()
    Image.fromarray(np.linspace(1000, 3000, 64, dtype=np.uint16).reshape(8, 8)).save(file, "PNG")
    (content,) = crop_all(file.getvalue(), [(0, 4, 8, 4)], DecodeOptions(224, decoding=VERSION + STRETCH))
    values = np.asarray(Image.open(io.BytesIO(content)))
    assert (values.min() > 120, values.max()) == (True, 255)

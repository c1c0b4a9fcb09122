"""The pixels of a box: Pillow's crop of the upright image is the judge."""

import io

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
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

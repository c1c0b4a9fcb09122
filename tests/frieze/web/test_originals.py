"""Images in full: as files where browsers show them as they were embedded, else drawn with all pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frieze.web.originals import read_original

PIXELS = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)


@pytest.fixture
def write(tmp_path):
    """Save an image under a name; return its path as text."""

    def save(image, name, **options):
        image.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif"])
def test_a_file_that_browsers_show(write, name):
    """A usual file is given byte by byte, by its content and not its name."""
    path = write(Image.fromarray(PIXELS), name)
    original = read_original(path, decoding="")
    assert original.data == Path(path).read_bytes()
    assert original.media_type == {"jpg": "image/jpeg"}.get(name[2:], f"image/{name[2:]}")


@pytest.mark.parametrize(
    ("image", "name", "options"),
    [
        (Image.fromarray(PIXELS), "a.tif", {}),
        (Image.fromarray(PIXELS).convert("CMYK"), "a.jpg", {}),
        (Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 4), "a.png", {}),
        (Image.fromarray(PIXELS), "a.gif", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),
    ],
)
def test_others_are_drawn(write, image, name, options):
    """What browsers show otherwise, or not at all, comes as a JPEG of its first picture with all pixels."""
    original = read_original(write(image, name, **options), decoding="")
    drawn = Image.open(io.BytesIO(original.data))
    assert (original.media_type, drawn.format, drawn.size) == ("image/jpeg", "JPEG", (40, 30))


def test_the_range_of_the_table(write):
    """Images of more than 8 bits are drawn with the values of black and white that the table states."""
    path = write(Image.fromarray(np.full((20, 20), 1000, np.uint16)), "deep.png")
    greys = [
        np.asarray(Image.open(io.BytesIO(read_original(path, decoding=f"+scale={scale}").data))).mean()
        for scale in ("0..1000", "1000..2000")
    ]
    assert greys == [255, 0]


def test_part(write):
    """Of a part the part is given, not its image."""
    path = write(Image.fromarray(PIXELS), "a.png")
    original = read_original(f"{path}#5,5,10,20", decoding="")
    assert Image.open(io.BytesIO(original.data)).size == (10, 20)

import io

import pyarrow as pa
import pytest
from PIL import Image, ImageFile

from frieze.core import ImageError
from frieze.embedder.images import prepare
from frieze.embedder.images.decode import decode, decoded
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.base import read_error
from frieze.embedder.sources.open import open_source


def no_room(*_args, **_options):
    """Find no memory."""
    raise MemoryError


@pytest.fixture
def png(photo):
    """A picture's bytes."""
    data = io.BytesIO()
    photo(1).save(data, "PNG")
    return data.getvalue()


def failure(data):
    """Decode what can't be: gives stage and reason."""
    with pytest.raises(ImageError) as caught:
        decode(data, side_px=32)
    return caught.value.stage, caught.value.reason


def test_is_no_damage(png, monkeypatch):
    """Where there is no memory for an image, that is said, and not that the image is damaged."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", no_room)
    assert failure(png) == ("decode", "out of memory")


@pytest.mark.parametrize("message", ["out of memory error when reading image file", "Memory allocation error: 9 bytes"])
def test_in_a_library_s_words(message, png, monkeypatch):
    """A library that says so in words of its own is understood."""

    def load(_image):
        raise OSError(message)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert failure(png) == ("decode", "out of memory")


def test_behind_the_decoder(png):
    """What is done with the pixels may find no memory either: that is the same failure of this one image."""
    with pytest.raises(ImageError) as caught, decoded(png, side_px=32):
        no_room()
    assert (caught.value.stage, caught.value.reason) == ("decode", "out of memory")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), ("out of memory", "there was no memory for the file")),
        (pa.ArrowMemoryError("malloc of size 9"), ("out of memory", "malloc of size 9")),
        (OSError(5, "Input/output error"), ("unreadable", "Input/output error")),
        (pa.ArrowInvalid("bad page"), ("unreadable", "bad page")),
    ],
)
def test_while_it_is_read(error, expected):
    """A file that is too large for the memory of this moment is told from one that the disk refuses."""
    actual = read_error(error)
    assert (actual.stage, actual.reason, actual.message) == ("read", *expected)


def test_of_one_file(folder, monkeypatch):
    """One file for which there is no memory does not end the reading of the others."""
    source = open_source(folder, SourceOptions())
    monkeypatch.setattr("frieze.embedder.sources.files._read_local", no_room)
    contents = list(source.read(source.listing.images["size_bytes"].to_numpy()[:2] * 0))
    assert [one.reason for one in contents] == ["out of memory"] * 2


def test_it_passes(folder, embed, out, monkeypatch):
    """An image for which there was no memory is tried again by the next plain run, and no other."""
    tried, fit = set(), prepare.fit_image
    Image.new("RGB", (99, 99)).save(folder / "c.jpg")

    def fit_small(image, **options):
        return no_room() if image.size == (99, 99) else fit(image, **options)

    monkeypatch.setattr(prepare, "fit_image", fit_small)
    assert embed(folder, out)["failures"] == {"out of memory": 1}
    monkeypatch.setattr(prepare, "fit_image", fit)
    document = embed(folder, out, progress=lambda _, n_pending: tried.add(n_pending))
    assert (document["embedded"], document["failures"], tried) == (1, {}, {1})

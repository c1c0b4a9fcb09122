import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images import signatures
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error

HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(90)


def encode(image, kind):
    """Return an image's bytes in a format."""
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


@pytest.fixture
def without_extra(monkeypatch):
    """An environment without the extra that reads HEIC, JPEG XL and RAW."""
    for name in ("can_read_heic", "can_read_jpeg_xl", "can_read_raw"):
        monkeypatch.setattr(signatures, name, lambda: False)


def test_heic_without_the_extra(without_extra):
    """Without the extra a HEIC, whatever its name, is named with what to type."""
    assert not is_image(HEIC[:HEAD_BYTES])
    with pytest.raises(ImageError, match=r"HEIC .*pip install 'frieze\[heic\]'") as caught:
        decode(HEIC, side_px=32)
    assert caught.value.reason == "unsupported"


def test_heic_is_read_by_its_package(monkeypatch, photo):
    """With the extra a HEIC goes to its reader, and Pillow opens no more for others than before."""
    reader = types.SimpleNamespace(HeifImageFile=lambda _: photo(1))
    monkeypatch.setitem(sys.modules, "pillow_heif", reader)
    monkeypatch.setattr(signatures, "can_read_heic", lambda: True)
    assert is_image(HEIC[:HEAD_BYTES])
    assert np.array_equal(decode(HEIC, side_px=32)[0], photo(1))


def test_real_heic(photo):
    """With the extra a HEIC gives its picture."""
    pillow_heif = pytest.importorskip("pillow_heif")
    data = io.BytesIO()
    pillow_heif.from_pillow(photo(1, 96, 64)).save(data, quality=95)
    image, size = decode(data.getvalue(), side_px=32)
    assert size == (96, 64)
    assert np.abs(np.asarray(image, int) - np.asarray(photo(1, 96, 64), int)).mean() < 4
    assert "HEIF" not in Image.OPEN
    with pytest.raises(ImageError, match="end of file") as caught:
        decode(data.getvalue()[: len(data.getvalue()) // 2], side_px=32)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("metadata", ["nothing", "EXIF", "XMP"])
def test_heic_of_any_metadata(metadata, mode, photo):
    """A HEIC is read with EXIF data and without, in colours, with alpha and in grey."""
    pillow_heif, data = pytest.importorskip("pillow_heif"), io.BytesIO()
    expected = photo(1, 96, 64).convert(mode)
    options = {"nothing": {}, "EXIF": {"exif": Image.Exif().tobytes()}, "XMP": {"xmp": b"<x/>"}}[metadata]
    pillow_heif.from_pillow(expected).save(data, quality=95, **options)
    image, size = decode(data.getvalue(), side_px=32)
    assert (image.mode, size) == ("RGB", (96, 64))
    assert np.abs(np.asarray(image, int) - np.asarray(expected.convert("RGB"), int)).mean() < 4


@pytest.mark.skipif(not signatures.can_read_avif(), reason="this Pillow reads no AVIF")
def test_avif(photo):
    """An AVIF is read by Pillow itself."""
    data = encode(photo(1, 96, 64), "AVIF")
    assert is_image(data[:HEAD_BYTES])
    image, size = decode(data, side_px=32)
    assert size == (96, 64)
    assert np.abs(np.asarray(image, int) - np.asarray(photo(1, 96, 64), int)).mean() < 6


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW file .Canon CR3"),
        (b"IIRO\x08\0\0\0", "RAW file .Olympus ORF"),
        (b"FUJIFILMCCD-RAW 0201", "RAW file .Fujifilm RAF"),
        (b"IIU\0\x18\0\0\0", "RAW file .Panasonic RW2"),
        (b"\xff\x0a\xf8\xbe", "JPEG XL image; to read it: pip install"),
        (b"8BPS\0\2", "a Photoshop file that is large .PSB."),
        (b"<svg ", "SVG is not read"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a drawing -->\n<svg xmlns='x'>", "rsvg-convert"),
    ],
)
def test_other_formats_are_named(head, name, without_extra):
    """A picture of a format that is not read is named by it."""
    with pytest.raises(ImageError, match=name) as caught:
        raise unsupported_error(head)
    assert caught.value.reason == "unsupported"
    assert not is_image(head)

"""Sizes from headers: what `decode` gives is the judge."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from frieze.core import ImageError
from frieze.embedder.images import upright_size
from frieze.embedder.images.decode import decode
from frieze.embedder.images.upright_size import read_jpeg_size, read_upright_size

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)


def encode(form, orientation, **options):
    """Return an image of 50 x 30 pixels as the bytes of a file."""
    if form == "JXL":
        pytest.importorskip("pillow_jxl")
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(file, form, exif=exif.tobytes(), **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "JXL", "HEIF", "AVIF"])
def test_agrees_with_decode(form, orientation):
    """The size is the decoded image's, whatever its orientation."""
    data = encode(form, orientation)
    assert read_upright_size(data) == decode(data, side_px=8)[1]


@pytest.mark.parametrize("form", ["GIF", "BMP", "PPM", "ICO", "TGA"])
def test_without_orientation(form):
    """So it is in formats that can't be turned."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, form, **({"sizes": [(50, 30)]} if form == "ICO" else {}))
    assert read_upright_size(file.getvalue()) == (50, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_decodes_nothing(form, monkeypatch):
    """No pixel is decoded for it."""
    data = encode(form, 1)
    monkeypatch.setattr(upright_size, "decode", None)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert read_upright_size(data) == (50, 30)


def test_turned_behind_the_pixels():
    """A PNG whose orientation stands behind its pixels has the size that it is displayed with."""
    plain, turned = encode("PNG", 1), encode("PNG", 6)
    start = turned.index(b"eXIf") - 4
    chunk = turned[start : start + 12 + int.from_bytes(turned[start : start + 4])]
    end = turned.index(b"IEND") - 4
    late = turned[:start] + turned[start + len(chunk) : end] + chunk + turned[end:]
    assert (read_upright_size(plain), read_upright_size(late)) == ((50, 30), decode(late, side_px=8)[1])
    assert read_upright_size(late) == (30, 50)


def test_head():
    """The first bytes of a JPEG suffice; those of a file with a long preview before the size do not."""
    data = encode("JPEG", 6, quality=95)
    assert read_jpeg_size(data[:1024]) == (30, 50)
    assert read_jpeg_size(data[:40]) is None


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"0" * 20])
def test_broken(data):
    """A file that is no image has the failure that decoding it has."""
    with pytest.raises(ImageError):
        read_upright_size(data)

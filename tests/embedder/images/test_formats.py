"""Formats beside the usual ones: each gives the picture that was saved, by Pillow or the package that wrote it."""

import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images.decode import decoded
from frieze.embedder.images.decode_memory import DECODE_MEMORY
from frieze.embedder.images.jpeg_xl import read_size
from frieze.embedder.images.open_image import has_several
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, is_tga

SIZE = (96, 64)


def encoded(image, kind, **options):
    """Return an image's bytes in a format."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def difference(data, expected):
    """Return the mean difference of a file's picture and the expected one, in levels."""
    image, size = decode(data, side_px=32)
    assert size == expected.size
    return np.abs(np.asarray(image, int) - np.asarray(expected.convert("RGB"), int)).mean()


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM", "TGA", "JXL"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless(kind, mode, photo):
    """A file that was written without a loss gives its pixels, and is known by its first bytes."""
    if kind == "JXL":
        pytest.importorskip("pillow_jxl")
    image = photo(1, *SIZE).convert(mode)
    data = encoded(image, kind, **({"lossless": True} if kind == "JXL" else {}))
    assert is_image(data[:HEAD_BYTES])
    assert difference(data, image) == 0


@pytest.mark.parametrize("mode", ["1", "P", "RGBA"])
def test_other_modes(mode, photo):
    """A bitmap, a palette and alpha are read where the format has them."""
    kind = "PPM" if mode == "1" else "TGA"
    image = photo(1, *SIZE).convert(mode)
    assert difference(encoded(image, kind), image) == 0


@pytest.mark.parametrize("kind", ["PPM", "JPEG2000", "JXL"])
def test_16_bits(kind):
    """Grey of 16 bits is scaled to 8 as that of a PNG is."""
    if kind == "JXL":
        pytest.importorskip("pillow_jxl")
    values = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13
    data = encoded(Image.fromarray(values), kind, **({"lossless": True} if kind == "JXL" else {}))
    with decoded(
        data, side_px=32
    ) as image:  # the encoder of JPEG XL calls 16 bits linear, and as such they get lighter
        actual = np.asarray(image.image)
    expected = decode(encoded(Image.fromarray(values), "PNG"), side_px=32)[0]
    assert np.array_equal(actual, expected)


def test_icon(photo):
    """Of an icon of several sizes the largest is read."""
    data = encoded(photo(1, 64, 64), "ICO", sizes=[(16, 16), (64, 64)])
    assert is_image(data[:HEAD_BYTES])
    assert difference(data, photo(1, 64, 64)) == 0


def photoshop(image, n_layers=0):
    """Write a Photoshop file without compression, whose layers are empty."""
    layers = b"".join(
        struct.pack(">4IH", 0, 0, 0, 0, 0) + b"8BIMnorm" + bytes((255, 0, 0, 0)) + struct.pack(">I", 0)
        for _ in range(n_layers)
    )
    body = struct.pack(">h", n_layers) + layers
    body += bytes(len(body) % 2)
    info = struct.pack(">I", len(body)) + body if n_layers else b""
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, image.height, image.width, 8, 3)
    pixels = np.asarray(image).transpose(2, 0, 1).tobytes()
    return head + bytes(8) + struct.pack(">I", len(info)) + info + struct.pack(">H", 0) + pixels


def test_photoshop(photo):
    """Of a Photoshop file the picture of all layers is read; layers do not count as pages."""
    for n_layers in (0, 2):
        data = photoshop(photo(1, *SIZE), n_layers)
        assert is_image(data[:HEAD_BYTES])
        assert difference(data, photo(1, *SIZE)) == 0
        assert not has_several(data)


@pytest.mark.parametrize(
    "head",
    [
        *(b"P1 is the first paragraph", b"P5 2023 report", b"P6\n", b"P7\nWIDTH 3\n"),
        *(bytes(64), b"\0\0\2\0" + bytes(60), b"\0\0\1\0" + b"\1\0" + b"\1" * 58),
        *(b"\0\1\0\0\0\x12\1\0\0\4\0\x20", b"\1\0\2\0" + bytes(60), b"The quick brown fox jumps over the lazy dog"),
    ],
)
def test_no_images(head):
    """Texts, fonts, cursors and zeros are not taken for images of the formats with short signatures."""
    assert not is_image(head)


def test_a_tga_is_told_by_all_fields(photo):
    """A header with one field that no TGA has is none: it has no signature."""
    data = bytearray(encoded(photo(1, *SIZE), "TGA")[:18])
    assert is_tga(bytes(data))
    for at, value in ((1, 2), (2, 4), (3, 9), (7, 24), (16, 7), (17, 64)):
        assert not is_tga(bytes(data[:at]) + bytes((value,)) + bytes(data[at + 1 :]))


def test_size_of_jpeg_xl(photo):
    """Width and height are read from the header, of any ratio, bare or in a container."""
    pytest.importorskip("pillow_jxl")
    for size in ((8, 8), (96, 64), (64, 96), (160, 90), (257, 3), (300, 200), (640, 320), (1000, 1)):
        for options in ({}, {"use_container": True}):
            assert read_size(encoded(Image.new("RGB", size), "JXL", **options)) == size
    assert read_size(b"\0\0\0\x0cJXL \r\n\x87\n") is None


def test_jpeg_in_jpeg_xl(photo, tmp_path):
    """A JPEG that was packed without a loss is decoded as that JPEG, with its orientation."""
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[274] = 6
    photo(1, *SIZE).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        packed = encoded(image, "JXL", lossless_jpeg=True)
    actual, expected = (decode(data, side_px=32) for data in (packed, (tmp_path / "a.jpg").read_bytes()))
    assert actual[1] == expected[1] == SIZE[::-1]
    assert np.array_equal(actual[0], expected[0])


def test_too_large_jpeg_xl(monkeypatch):
    """A JPEG XL of too many pixels is refused before it is decoded."""
    pytest.importorskip("pillow_jxl")
    data = encoded(Image.new("RGB", (300, 200)), "JXL")
    monkeypatch.setattr("frieze.embedder.images.decode.open_jpeg_xl", None)
    with pytest.raises(ImageError, match="300 x 200 pixels; the limit is 50000"):
        decode(data, side_px=32, max_pixels=50_000)


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM", "TGA", "JXL"])
def test_cut_off(kind, photo):
    """A file that ends too early is a failure."""
    if kind == "JXL":
        pytest.importorskip("pillow_jxl")
    data = encoded(photo(1, *SIZE), kind)
    with pytest.raises(ImageError):
        decode(data[: len(data) // 2], side_px=32)


def boxed(codestream, *cuts):
    """Put a bare JPEG XL into a container whose parts end at some bytes."""

    def box(kind, body):
        return struct.pack(">I4s", 8 + len(body), kind) + body

    parts = [codestream[start:end] for start, end in zip((0, *cuts), (*cuts, None), strict=True)]
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    last = len(parts) - 1
    numbered = [struct.pack(">I", at | (1 << 31 if at == last else 0)) + part for at, part in enumerate(parts)]
    return head + b"".join(box(b"jxlp", part) for part in numbered)


def test_size_of_a_jpeg_xl_in_parts(photo):
    """The size is read across the parts of a container, however early the first one ends."""
    pytest.importorskip("pillow_jxl")
    bare = encoded(photo(1, 300, 200), "JXL", use_container=False)
    for cuts in ((), (2,), (3, 5), (1, 2, 9)):
        assert read_size(boxed(bare, *cuts)) == (300, 200)
    with pytest.raises(ImageError, match="300 x 200 pixels; the limit is 50000"):
        decode(boxed(bare, 2), side_px=32, max_pixels=50_000)
    with pytest.raises(ImageError, match="no readable header"):
        decode(boxed(b"\0\0"), side_px=32)


def test_a_truncated_avif_is_damaged(photo):
    """An AVIF that ends too early is damaged, not of a format that is not read."""
    data = encoded(photo(1, *SIZE), "AVIF")
    with pytest.raises(ImageError) as caught:
        decode(data[: len(data) // 2], side_px=32)
    assert caught.value.reason in ("damaged", "truncated")


def test_memory_of_a_jpeg_xl(photo, monkeypatch):
    """Its memory is reserved as long as its pixels are used."""
    pytest.importorskip("pillow_jxl")
    events = []

    @contextlib.contextmanager
    def take(size):
        events.append("taken")
        yield
        events.append("released")

    monkeypatch.setattr(DECODE_MEMORY, "take", take)
    with decoded(encoded(photo(1, *SIZE), "JXL"), side_px=32):
        assert events == ["taken"]
    assert events == ["taken", "released"]

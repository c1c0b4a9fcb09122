import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images.decode import decoded
from frieze.embedder.images.signatures import HEAD_BYTES, is_image

SAVED = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}
"""Format -> how a test saves it."""

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF orientation -> how a camera stores an upright picture under it (CIPA DC-008: where row 0 and column 0 lie)."""


def encode(image, kind="PNG", **options):
    """Return an image's bytes in a format."""
    out = io.BytesIO()
    image.save(out, kind, **SAVED.get(kind, {}) | options)
    return out.getvalue()


def oriented(orientation):
    """Return EXIF data with an orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def pixels_of(data, side_px=64):
    """Decode to an array of int."""
    return np.asarray(decode(data, side_px=side_px)[0], np.int64)


def refusal(data):
    """Decode what can't be decoded, and return the reason."""
    with pytest.raises(ImageError) as caught:
        decode(data, side_px=64)
    assert caught.value.stage == "decode"
    assert caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("kind", SAVED)
def test_formats(kind, photo):
    """Every format decodes to exactly what Pillow gives, in mode RGB, with its width and height."""
    data = encode(photo(1), kind)
    image, size = decode(data, side_px=64)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert (image.mode, size) == ("RGB", (48, 36))
    assert np.array_equal(image, expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(kind):
    """Of several frames the first is taken."""
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    data = encode(red, kind, save_all=True, append_images=[blue])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert pixels_of(data)[4, 4].tolist() == [255, 0, 0]


def test_multi_picture_jpeg(photo):
    """A JPEG that carries further pictures, as phones write it, gives the first."""
    data = encode(photo(1), "MPO", save_all=True, append_images=[photo(2)])
    assert data[:3] == b"\xff\xd8\xff"
    assert np.abs(pixels_of(data) - np.asarray(photo(1), np.int64)).mean() < 8


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_over_white(mode, photo):
    """Alpha is composited over white: clear is white, opaque the colour, half in between."""
    colours = photo(1).convert(mode)
    alpha = np.tile(np.array([0, 128, 255], np.uint8), (36, 16))
    colours.putalpha(Image.fromarray(alpha))
    share = alpha[..., None] / 255
    expected = np.asarray(photo(1).convert(mode[:-1]).convert("RGB")) * share + 255 * (1 - share)
    assert np.abs(pixels_of(encode(colours)) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_transparency(kind):
    """A transparent colour of a palette is white."""
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1, 0, 1])
    got = pixels_of(encode(image, kind, transparency=1))
    assert got[0].tolist() == [[255, 0, 0], [255, 255, 255]] * 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey(kind, photo):
    """Grey gives three equal channels."""
    grey = photo(1).convert("L")
    got = pixels_of(encode(grey, kind))
    assert np.ptp(got, axis=2).max() == 0
    assert np.abs(got[..., 0] - np.asarray(grey, np.int64)).mean() < 2


def test_bilevel():
    """One bit a pixel gives black and white."""
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels_of(encode(image))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_cmyk(photo):
    """A CMYK JPEG has the colours of its RGB twin."""
    got = pixels_of(encode(photo(1).convert("CMYK"), "JPEG"))
    assert np.abs(got - np.asarray(photo(1), np.int64)).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits(kind):
    """Grey of 16 bits is scaled by 1/257, not clipped."""
    values = np.array([[0, 257, 32_768, 65_000, 65_535]], np.uint16)
    assert pixels_of(encode(Image.fromarray(values), kind))[0, :, 0].tolist() == [0, 1, 128, 253, 255]


@pytest.mark.parametrize("values", [np.array([[0.5]], np.float32), np.array([[70_000]], np.int32)])
def test_no_fixed_range(values):
    """Floating-point and 32-bit pixels are unsupported: nothing says what is white."""
    assert refusal(encode(Image.fromarray(values), "TIFF")) == "unsupported"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_orientation(orientation, kind, photo):
    """Each EXIF orientation gives the upright twin, and its width and height."""
    upright = np.asarray(photo(3), np.int64)
    lying = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright.astype(np.uint8))))
    image, size = decode(encode(lying, kind, exif=oriented(orientation)), side_px=64)
    assert size == (48, 36)
    assert np.abs(np.asarray(image, np.int64) - upright).mean() < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation_of_a_square(kind, photo):
    """A square picture is turned too."""
    upright = np.asarray(photo(3, 40, 40), np.int64)
    lying = Image.fromarray(np.rot90(upright).astype(np.uint8))
    image, size = decode(encode(lying, kind, exif=oriented(6)), side_px=64)
    assert size == (40, 40)
    assert np.abs(np.asarray(image, np.int64) - upright).mean() < 2


@pytest.mark.parametrize("size", [(2400, 1800), (2049, 2050), (2050, 2049), (2050, 2050)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_of_a_draft(orientation, size, photo):
    """A drafted JPEG tells its full size as displayed, also where the draft came out square."""
    lying = photo(3, *size)
    image, displayed = decode(encode(lying, "JPEG", exif=oriented(orientation)), side_px=32)
    assert image.width < size[0]
    assert displayed == (size if orientation in (1, 3) else size[::-1])


def test_broken_exif(photo):
    """EXIF data that can't be read, or name no orientation there is, change nothing."""
    plain = pixels_of(encode(photo(1), "JPEG"))
    for exif in (b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff", b"Exif\0\0nonsense", oriented(99), oriented(0)):
        assert np.array_equal(pixels_of(encode(photo(1), "JPEG", exif=exif)), plain)


def test_draft(photo):
    """A large JPEG is decoded smaller, but at twice the network's size or more, and the picture is the same."""
    data = encode(photo(3, 4000, 2800), "JPEG")
    image, size = decode(data, side_px=64)
    assert size == (4000, 2800)
    assert 896 <= image.height <= 1400
    full = Image.open(io.BytesIO(data)).convert("RGB")
    small, same = (np.asarray(one.resize((64, 64), Image.Resampling.BILINEAR), np.int64) for one in (full, image))
    assert np.abs(small - same).mean() < 0.5


@pytest.mark.parametrize("side_px", [8, 17, 32, 75, 200, 400])
def test_draft_is_never_too_small(side_px, photo):
    """Both sides of what is decoded are 896 and twice the network's at least, or the file's own."""
    image, size = decode(encode(photo(3, 3800, 1822), "JPEG"), side_px=side_px)
    assert size == (3800, 1822)
    assert image.size == size or min(image.size) >= max(896, 2 * side_px)


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        ("pillow-draft-bilinear-1", 500),
        ("pillow-draft-bilinear-1+stretch", 500),
        ("pillow-draft-bilinear-2", 1000),
        ("pillow-draft-bilinear-2+stretch", 1000),
        ("", 1000),
    ],
)
def test_draft_of_each_version(decoding, expected, photo):
    """Each version of decoding has its own least side, so that a table that was begun with it goes on as it was."""
    with decoded(encode(photo(3, 2000, 2000), "JPEG"), side_px=64, decoding=decoding) as actual:
        assert actual.image.size == (expected, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated(kind, photo):
    """A file that ends in the middle says so, and is not filled up with grey."""
    data = encode(photo(1, 200, 150), kind)
    assert refusal(data[: len(data) // 2]) == "truncated"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_cut(kind, photo):
    """In the other formats a file that ends in the middle is rejected too."""
    data = encode(photo(1, 200, 150), kind)
    assert refusal(data[: len(data) // 2]) in ("truncated", "damaged", "not an image")


def test_no_image():
    """No bytes are `empty`, other bytes `not an image`."""
    assert refusal(b"") == "empty"
    assert refusal(b"just some text, named a photograph") == "not an image"


def test_damaged(photo):
    """A PNG with a wrong checksum is damaged."""
    data = encode(photo(1))
    at = data.index(b"IDAT") + 20
    assert refusal(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]) == "damaged"


def test_too_large(photo, monkeypatch):
    """An image above the limit is rejected before a pixel of it is decoded."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="48 x 36 pixels; the limit is 1727") as caught:
        decode(encode(photo(1)), side_px=32, max_pixels=48 * 36 - 1)
    assert caught.value.reason == "too large"


@pytest.mark.parametrize(("side", "kept"), [(48, True), (64, False)])
def test_too_large_tile(side, kept):
    """A TIFF of tiles above the limit is rejected whatever the image's own size: it is decoded tile by tile."""
    data = zlib.compress(bytes(side * side))
    values = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 322: side, 323: side, 324: 122, 325: len(data)}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    tiff = struct.pack("<2sHIH", b"II", 42, 8, len(values)) + tags + bytes(4) + data
    if kept:
        assert decode(tiff, side_px=32, max_pixels=48 * 48)[1] == (8, 8)
    else:
        with pytest.raises(ImageError, match="64 x 64 pixels; the limit is 2304"):
            decode(tiff, side_px=32, max_pixels=48 * 48)


def test_decompression_bomb(photo):
    """A header that promises billions of pixels is rejected."""
    data = bytearray(encode(photo(1)))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert refusal(bytes(data)) == "too large"


@pytest.mark.parametrize("kind", SAVED)
def test_is_image(kind, photo):
    """Each format is known by its signature, whatever the file's name."""
    assert is_image(encode(photo(1), kind)[:HEAD_BYTES])


def test_is_big_tiff():
    """So is a TIFF of more than 4 GB, and one of the other byte order."""
    assert is_image(b"II+\0" + bytes(14))
    assert is_image(b"MM\0*" + bytes(14))


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"BMW prices went up again", b"RIFF\0\0\0\0WAVEfmt ......", b"notes on GIF", b"%PDF-1.7"]
)
def test_is_no_image(head):
    """Text, sound and documents are none, also where they begin with an image's letters."""
    assert not is_image(head[:HEAD_BYTES])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    kind=st.sampled_from(sorted(SAVED)),
    keep=st.floats(0.02, 1),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
)
def test_any_bytes(kind, keep, changes, photo):
    """Whatever happens to a file's bytes, it gives an RGB image or an ImageError."""
    whole = encode(photo(1, 24, 18), kind, exif=oriented(6))
    data = bytearray(whole[: int(len(whole) * keep)])
    for place, value in changes:
        data[int(place * len(data))] = value
    with contextlib.suppress(ImageError):
        image, size = decode(bytes(data), side_px=4)
        assert image.mode == "RGB"
        assert min(size) >= 1

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from frieze.embedder import decode
from frieze.embedder.images.decode import MIN_DRAFT_PX, VERSION, decoded
from frieze.embedder.images.sample_range import STRETCH
from frieze.embedder.in_graph.decode import _read_orientation, _turn_upright, decode_bytes


def saved(image, kind, **options):
    """Return the bytes of an image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def decode_in_graph(tf):
    """`decode_in_graph(data)`: the pixels that a graph makes of a file for a network of 32 pixels."""
    data = tf.TensorSpec([], tf.string)
    graph = tf.function(lambda one: decode_bytes(one, side_px=32), [data], autograph=False)
    return lambda data: graph(data).numpy()


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"quality": 90}),
        ("RGB", "JPEG", {"quality": 90, "subsampling": 0, "progressive": True}),
        ("L", "JPEG", {"quality": 90}),
        ("RGB", "PNG", {}),
        ("L", "PNG", {}),
        ("P", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("I;16", "PNG", {}),
        ("RGB", "BMP", {}),
        ("L", "GIF", {}),
        ("RGB", "WEBP", {"lossless": True}),
    ],
)
def test_pixels_are_those_of_pillow(decode_in_graph, photo, mode, kind, options):
    """A file of each kind that TensorFlow reads has the pixels that our decoder gives it, to a level."""
    image = photo(1, 90, 70)
    if mode in ("RGBA", "LA"):
        image.putalpha(photo(2, 90, 70).convert("L"))
    image = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    data = saved(image, kind, **options)
    expected = np.asarray(decode(data, side_px=32)[0], int)
    assert np.abs(decode_in_graph(data) - expected).max() <= (1 if mode in ("RGBA", "LA") else 0)


def _deep(values, *, alpha=None):
    """Return grey of 16 bits as a PNG, with one transparent value."""
    return saved(Image.fromarray(values.astype(np.uint16)), "PNG", **({} if alpha is None else {"transparency": alpha}))


@pytest.mark.parametrize("samples", ["", STRETCH, "+scale=28900..29800.5"])
@pytest.mark.parametrize("alpha", [None, 29_000])
def test_16_bit_pngs_agree_with_pillow(tf, samples, alpha):
    """A PNG of 16 bits is scaled, stretched and composited over white as by our decoder."""
    data = _deep(29_000 + np.arange(70 * 90).reshape(70, 90) % 1021, alpha=alpha)
    decoding = VERSION + samples
    with decoded(data, side_px=32, decoding=decoding) as actual:
        expected = np.asarray(actual.image, int)
    assert expected.max() - expected[1:].min() > 100 or not samples
    assert np.abs(decode_bytes(tf.constant(data), side_px=32, decoding=decoding).numpy() - expected).max() <= 1


@pytest.mark.parametrize(
    ("decoding", "factor"),
    [
        *((VERSION, factor) for factor in (0.9, 1, 1.9, 2, 4)),
        *(("pillow-draft-bilinear-1", one) for one in (0.9, 1, 8, 9)),
    ],
)
def test_large_jpegs_are_decoded_at_the_same_fraction(tf, photo, decoding, factor):
    """A large JPEG is decoded at the fraction that Pillow's draft takes in each version, to the same pixels."""
    side = MIN_DRAFT_PX[decoding] * factor
    data = saved(photo(5, 640, 360).resize((int(1.03 * side), int(side))), "JPEG", quality=90)
    with decoded(data, side_px=32, decoding=decoding) as actual:
        expected = np.asarray(actual.image.convert("RGB"))
    assert np.array_equal(decode_bytes(tf.constant(data), side_px=32, decoding=decoding), expected)


@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_photographs_are_upright(decode_in_graph, photo, value):
    """A JPEG that a camera wrote lying or upside down is turned upright."""
    exif = Image.Exif()
    exif[274] = value
    data = saved(photo(6, 60, 40), "JPEG", exif=exif)
    assert np.array_equal(decode_in_graph(data), np.asarray(decode(data, side_px=32)[0]))


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\x00"])
def test_invalid_bytes_raise(decode_in_graph, tf, data):
    """Bytes that TensorFlow can't decode end in its own error, never in a picture of nothing."""
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_in_graph(data)


def jpeg(exif=b""):
    """Write a grey JPEG with these EXIF bytes."""
    file = io.BytesIO()
    Image.new("RGB", (16, 8), "grey").save(file, "JPEG", exif=exif)
    return file.getvalue()


def exif_of(*entries, order="<", offset=8):
    """Write an EXIF segment with entries (tag, value) of 16 bits."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(f"{order}I", offset)
    body = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    return b"Exif\x00\x00" + head + struct.pack(f"{order}H", len(entries)) + body + bytes(4)


@pytest.fixture(scope="module")
def read(tf):
    """`read(data)`: the orientation as a graph reads it."""
    graph = tf.function(_read_orientation, [tf.TensorSpec([], tf.string)], autograph=False)
    return lambda data: int(graph(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_reads_what_pillow_reads(read, order, value):
    """Each orientation is read in both orders of bytes, among other entries."""
    data = jpeg(exif_of((271, 5), (274, value), (296, 2), order=order))
    assert Image.open(io.BytesIO(data)).getexif()[274] == value
    assert read(data) == value


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg(exif_of()),
        jpeg(exif_of((271, 6))),
        jpeg(exif_of((274, 0))),
        jpeg(exif_of((274, 9))),
        jpeg(exif_of((274, 6), offset=60_000)),
        jpeg(exif_of((274, 6), offset=0xFFFFFFFF)),
        jpeg(exif_of((274, 6)))[:30],
        b"\xff\xd8\xffExif\x00\x00",
        b"\xff",
    ],
    ids=["none", "empty", "other tag", "0", "9", "beyond", "far beyond", "cut", "marker alone", "one byte"],
)
def test_invalid_orientation(read, data):
    """Where EXIF is missing, broken or tells nonsense, the image stays as it is."""
    assert read(data) == 1


@pytest.mark.parametrize("value", range(1, 9))
def test_turns_as_pillow_turns(tf, value):
    """An image is turned upright as ImageOps.exif_transpose turns it."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = Image.fromarray(pixels)
    image.getexif()[274] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(_turn_upright(tf.constant(pixels), tf.constant(value)).numpy(), expected)

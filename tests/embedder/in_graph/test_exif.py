import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from frieze.embedder.in_graph.exif import read_orientation, turn_upright


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
    graph = tf.function(read_orientation, [tf.TensorSpec([], tf.string)], autograph=False)
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
def test_nonsense_is_upright(read, data):
    """Where EXIF is missing, broken or tells nonsense, the image stays as it is."""
    assert read(data) == 1


@pytest.mark.parametrize("value", range(1, 9))
def test_turns_as_pillow_turns(tf, value):
    """An image is turned upright as ImageOps.exif_transpose turns it."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = Image.fromarray(pixels)
    image.getexif()[274] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn_upright(tf.constant(pixels), tf.constant(value)).numpy(), expected)

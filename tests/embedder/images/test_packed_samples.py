"""Grey TIFFs of an unusual number of bits: the judge is NumPy's packing of known values."""

import struct
import zlib

import numpy as np
import pytest

from frieze.core import ImageError
from frieze.embedder import decode

WIDTH, HEIGHT = 13, 5  # no row ends with a byte


def packed(values, bits):
    """Pack values [H, W], the most significant bit first, each row to whole bytes."""
    places = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in places]


def tiff(values, bits, order="<", compress=bytes, **others):
    """Write a TIFF with a strip for each row; `others` are tags by number, such as `t274=6`."""
    rows = [compress(row) for row in packed(values, bits)]
    sizes = [len(row) for row in rows]
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: 1}
    tags |= {int(name[1:]): value for name, value in others.items()}
    at = 8
    offsets = [at + sum(sizes[:number]) for number in range(height)]
    lists_at = at + sum(sizes)
    counts_at = lists_at + 4 * height
    entries = [(tag, 3, 1, struct.pack(order + "HH", value, 0)) for tag, value in tags.items()]
    entries += [(273, 4, height, struct.pack(order + "I", lists_at))]
    entries += [(279, 4, height, struct.pack(order + "I", counts_at))]
    lists = struct.pack(f"{order}{2 * height}I", *offsets, *sizes)
    directory = struct.pack(order + "H", len(entries))
    directory += b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in sorted(entries)) + bytes(4)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", counts_at + 4 * height)
    return head + b"".join(rows) + lists + directory


def drawn(bits):
    """Draw values of so many bits, the least and the greatest among them."""
    values = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH))
    values[0, :2] = 0, 2**bits - 1
    return values


def levels(data):
    """Decode to levels [H, W]."""
    return np.asarray(decode(data, side_px=100)[0])[..., 0]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15])
def test_values_are_those_that_were_packed(bits, order):
    """Samples are read most significant bit first, whatever the order of bytes; white is the most that they hold."""
    values = drawn(bits)
    expected = np.floor(values * (255 / (2**bits - 1)) + 0.5)
    assert np.array_equal(levels(tiff(values, bits, order)), expected)
    assert np.array_equal(levels(tiff(values, bits, order, t262=0)), 255 - expected)


def test_orientation_and_stated_range():
    """The file's own greatest value is white, and the picture is turned upright, as of other depths."""
    values = drawn(10) // 4
    actual = levels(tiff(values, 10, t281=255, t274=3))
    assert np.array_equal(actual, values[::-1, ::-1])


def test_many_strips():
    """Rows lie in strips of their own, however many there are."""
    values = np.random.default_rng(0).integers(0, 1024, (200, 3))
    assert np.array_equal(levels(tiff(values, 10, ">")), np.floor(values * (255 / 1023) + 0.5))


def test_too_few_bytes():
    """A strip that unpacks to fewer bytes than its pixels take is damaged."""
    data = tiff(drawn(10), 10, "<", lambda row: zlib.compress(row[:-3]), t259=8)
    with pytest.raises(ImageError) as caught:
        decode(data, side_px=100)
    assert (caught.value.stage, caught.value.reason) == ("decode", "damaged")


def test_too_many_pixels():
    """The limit of pixels holds before anything is unpacked."""
    with pytest.raises(ImageError, match="13 x 5 pixels; the limit is 64"):
        decode(tiff(drawn(10), 10), side_px=100, max_pixels=64)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("bits", "compression"), [(10, 8), (12, 8), (14, 8), (12, 32946)])
def test_compressed_samples(bits, compression, order):
    """Compressed samples are read as others are, by both numbers of deflate."""
    values = drawn(bits)
    expected = np.floor(values * (255 / (2**bits - 1)) + 0.5)
    assert np.array_equal(levels(tiff(values, bits, order, zlib.compress, t259=compression)), expected)


@pytest.mark.parametrize("others", [{"t259": 7}, {"t259": 5, "t317": 2}, {"t339": 2}, {"t266": 2}])
def test_other_forms_are_refused_by_name(others):
    """What is packed in another way is not guessed at: the failure says what the file is."""
    with pytest.raises(ImageError, match=r"a TIFF with 10 bits a pixel, photometric 1, compression . is not read"):
        decode(tiff(drawn(10), 10, **others), side_px=100)

import struct
import zlib

import numpy as np
import pytest

from frieze.embedder import decode


def pixels_of(data):
    """Decode to uint8 [h, w, 3]."""
    return np.asarray(decode(data, side_px=64)[0])


def bmp(colours, alpha, *, bitfields=True):
    """Write RGB [h, w, 3] and alpha [h, w] as a BMP of 32 bits, whose header tells where alpha is."""
    height, width = alpha.shape
    body = np.dstack([colours[::-1, :, ::-1], alpha[::-1]]).astype(np.uint8).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    how = 3 if bitfields else 0
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, how, len(body), 2835, 2835, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


@pytest.mark.parametrize("bitfields", [True, False])
def test_bmp_of_empty_alpha(bitfields, photo):
    """Colours are the picture of a BMP whose alpha is 0 throughout."""
    colours = np.asarray(photo(1))
    data = bmp(colours, np.zeros(colours.shape[:2]), bitfields=bitfields)
    assert np.array_equal(pixels_of(data), colours)


def test_bmp_of_some_alpha(photo):
    """Alpha of a BMP is composited over white where any pixel has some."""
    colours = np.asarray(photo(1))
    alpha = np.zeros(colours.shape[:2])
    alpha[0] = 255
    actual = pixels_of(bmp(colours, alpha))
    assert np.array_equal(actual[0], colours[0])
    assert actual[1:].min() == 255


def grey_png(levels, bits, transparent):
    """Write levels [h, w] as a grey PNG of few bits, one of them transparent."""
    height, width = levels.shape
    unpacked = (levels[..., None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8).reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in unpacked)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    clear = struct.pack(">H", transparent)
    chunks = ((b"IHDR", header), (b"tRNS", clear), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = (struct.pack(">I", len(body)) + name + body for name, body in chunks)
    sums = (struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(a + b for a, b in zip(written, sums, strict=True))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_grey(bits):
    """The level that a grey PNG tells as transparent is white, whatever its bits; all others stay."""
    levels = np.arange(1 << bits)[None].repeat(2, 0)
    for transparent in {0, (1 << bits) // 2, (1 << bits) - 1}:
        expected = levels * (255 // levels.max())
        expected[:, transparent] = 255
        assert np.array_equal(pixels_of(grey_png(levels, bits, transparent))[..., 0], expected)


def palette_tiff(places, colours):
    """Write places [h, w] in a palette of colours [256, 3] as a TIFF."""
    (height, width), body = places.shape, places.astype(np.uint8).tobytes()
    table = np.asarray(colours).T.astype("<u2").tobytes()
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 3, 273: 8, 277: 1, 278: height, 279: len(body)}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 320, 3, len(table) // 2, 8 + len(body)))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(body) + len(table)) + body + table + directory


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_palette_of_bytes(factor):
    """A TIFF's palette of which no value is above 255 has 8 bits, and gives the colours of its twin of 16."""
    colours = np.random.default_rng(0).integers(256, size=(256, 3))
    places = np.arange(256).reshape(8, 32)
    assert np.array_equal(pixels_of(palette_tiff(places, colours * factor)), colours[places])

import io
import struct
import zlib

import numpy as np
import pytest

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images import png_chunks
from frieze.embedder.images.png_chunks import read_chunks, without_large_texts


def chunk(name, body):
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(photo, *chunks):
    """Write a PNG with chunks behind its header."""
    data = io.BytesIO()
    photo(1).save(data, "PNG")
    head = len(png_chunks.SIGNATURE) + 25
    return data.getvalue()[:head] + b"".join(chunk(*one) for one in chunks) + data.getvalue()[head:]


BIG = zlib.compress(bytes(3 << 20))
TEXTS = {
    "zTXt": (b"zTXt", b"Comment\0\0" + BIG),
    "iTXt": (b"iTXt", b"Comment\0\1\0en\0Kommentar\0" + BIG),
    "iCCP": (b"iCCP", b"profile\0\0" + BIG),
}


@pytest.mark.parametrize("name", TEXTS)
def test_large_text(name, photo):
    """Text or a colour profile of megabytes does not make the pixels worse."""
    assert np.array_equal(decode(with_chunks(photo, TEXTS[name]), side_px=32)[0], photo(1))


def test_many_plain_texts(photo):
    """Nor do texts that are large together."""
    chunks = [(b"tEXt", b"Comment\0" + b"x" * (1 << 20))] * 70
    assert np.array_equal(decode(with_chunks(photo, *chunks), side_px=32)[0], photo(1))


def test_bombs_of_text_are_bounded(photo, monkeypatch):
    """However many bombs there are, no more than a bounded number of bytes is unpacked."""
    unpacked, decompressobj = [], zlib.decompressobj

    class Counting:
        def __init__(self):
            self.decompressor = decompressobj()

        def decompress(self, data, limit):
            unpacked.append(len(actual := self.decompressor.decompress(data, limit)))
            return actual

    monkeypatch.setattr(png_chunks.zlib, "decompressobj", Counting)
    data = with_chunks(photo, *[TEXTS["zTXt"]] * 300)
    kept = without_large_texts(data)
    assert [one.name for one in read_chunks(kept)] == [b"IHDR", b"IDAT", b"IEND"]
    assert sum(unpacked) < 17 << 20


def test_small_texts_stay(photo):
    """Other texts stay where they are: one may tell the orientation."""
    data = with_chunks(photo, (b"zTXt", b"a\0\0" + zlib.compress(b"text")), (b"iTXt", b"b\0\0\0\0\0text"))
    assert without_large_texts(data) is data


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("name", ["exif", "transparency", "interlace", "bbox", "icc_profile", "gamma", "srgb", "xmp"])
def test_texts_of_any_name(kind, name, photo):
    """No text, whatever its name, fails an image or changes a pixel."""
    body = {b"tEXt": b"yes", b"zTXt": b"\0" + zlib.compress(b"yes"), b"iTXt": bytes(4) + b"yes"}[kind]
    data = with_chunks(photo, (kind, name.encode() + b"\0" + body))
    assert np.array_equal(decode(data, side_px=32)[0], photo(1))


def test_texts_behind_the_pixels(photo):
    """Nor does one behind the pixels, nor one of a picture with a palette."""
    data = io.BytesIO()
    palette = photo(1).quantize(16)
    palette.save(data, "PNG")
    end = data.getvalue().rindex(b"IEND") - 4
    late = data.getvalue()[:end] + chunk(b"tEXt", b"transparency\0yes") + data.getvalue()[end:]
    assert np.array_equal(decode(late, side_px=32)[0], palette.convert("RGB"))


def test_png_of_ios(photo):
    """What Apple's tools make of a PNG is rejected by name, with what to type."""
    data = with_chunks(photo)
    head = len(png_chunks.SIGNATURE)
    with pytest.raises(ImageError, match=r"CgBI.*pngcrush -revert") as caught:
        decode(data[:head] + chunk(b"CgBI", b"\x50\0\x20\x02") + data[head:], side_px=32)
    assert caught.value.reason == "unsupported"

"""Unpacks grey TIFF samples of an unusual number of bits, which Pillow does not read, to 16 bits."""

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from frieze.core import ImageError

_MIN_BITS, _MAX_BITS = 3, 15
_PILLOW_BITS = (4, 8)
_STRIP_VALUES = 1 << 20
_MIN_IS_WHITE, _MIN_IS_BLACK = 0, 1
_COMPRESSIONS = (1, 5, 8, 32773, 32946)  # none, LZW, deflate, PackBits, old deflate
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _MIN_SAMPLE, _MAX_SAMPLE = 256, 257, 258, 262, 274, 280, 281
_PREDICTOR = 317

_Tags = Mapping[int, tuple[int, ...]]


def is_packed(tags: _Tags) -> bool:
    """Return whether a page, by its tags, is grey in strips with 3, 5 to 7 or 9 to 15 bits a sample."""
    bits = tags.get(_BITS, (1,))
    first = {tag: values[0] for tag, values in tags.items()}
    return (
        len(bits) == 1
        and _MIN_BITS <= bits[0] <= _MAX_BITS
        and bits[0] not in _PILLOW_BITS
        and {_WIDTH, _HEIGHT} <= first.keys()
        and first.get(TiffImagePlugin.COMPRESSION, 1) in _COMPRESSIONS
        and first.get(_PHOTOMETRIC) in (_MIN_IS_WHITE, _MIN_IS_BLACK)
        and TiffImagePlugin.TILEWIDTH not in tags
        and all(first.get(tag, 1) == 1 for tag in (_PREDICTOR, *_MUST_BE_ONE))
    )


_MUST_BE_ONE = (TiffImagePlugin.SAMPLESPERPIXEL, TiffImagePlugin.FILLORDER, TiffImagePlugin.SAMPLEFORMAT)


def as_bytes(tags: _Tags, *, max_pixels: int) -> dict[int, int]:
    """Return the tags that make each byte of a packed page a sample, upright.

    Raises:
        ImageError: The page holds more than `max_pixels`.
    """
    width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
    if width * height > max_pixels:
        raise ImageError("decode", "too large", f"{width} x {height} pixels; the limit is {max_pixels}")
    changed = {_WIDTH: -(-width * tags[_BITS][0] // 8), _BITS: 8, _PHOTOMETRIC: _MIN_IS_BLACK, _ORIENTATION: 1}
    return {tag: value for tag, value in changed.items() if tag in tags}


def unpack_file(data: bytes, tags: _Tags) -> bytes:
    """Return a TIFF of 16 bits a sample that states its white; zero is black.

    Args:
        data: A TIFF with the tags of `as_bytes`.
        tags: The original tags.
    """
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        rows = np.asarray(image)
    bits = tags[_BITS][0]
    kept = {tag: tags[tag][0] for tag in (_ORIENTATION, _MIN_SAMPLE, _MAX_SAMPLE) if tag in tags}
    picture = Image.fromarray(unpack(rows, width=tags[_WIDTH][0], bits=bits))
    written = io.BytesIO()
    picture.save(written, "TIFF", tiffinfo={_MAX_SAMPLE: 2**bits - 1, **kept})
    return written.getvalue()


def unpack(rows: npt.NDArray[np.uint8], *, width: int, bits: int) -> npt.NDArray[np.uint16]:
    """Unpack samples, the most significant bit first in either byte order (TIFF 6.0).

    Args:
        rows: uint8 [H, bytes a row]; each row begins on a byte.
        width: Samples a row.
        bits: Bits a sample, 1 to 16.

    >>> unpack(np.array([[0b00000000, 0b01111111, 0b11100000]], "u1"), width=2, bits=10).tolist()
    [[1, 1022]]
    """
    values = np.empty((len(rows), width), np.uint16)
    n_rows = max(1, _STRIP_VALUES // max(1, width * bits))
    for top in range(0, len(rows), n_rows):
        one = np.unpackbits(rows[top : top + n_rows], axis=1, count=width * bits).reshape(-1, width, bits)
        values[top : top + n_rows] = sum(
            one[..., bit].astype(np.uint16) << np.uint16(bits - 1 - bit) for bit in range(bits)
        )
    return values

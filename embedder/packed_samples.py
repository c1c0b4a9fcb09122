"""Grey TIFF samples of an unusual number of bits, which Pillow does not read: unpacked to 16 bits each."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from features import ImageError

_LEAST, _MOST = 3, 15
_OF_PILLOW = (4, 8)
_STRIP_VALUES = 1 << 20
_MIN_IS_WHITE, _MIN_IS_BLACK = 0, 1
_MAX_SAMPLE = 281
_KEPT = (274, 280, _MAX_SAMPLE)  # Orientation, MinSampleValue


def is_packed(tags: dict[int, tuple[int, ...]]) -> bool:
    """Tell by its tags whether a page is uncompressed grey in strips, of 3, 5 to 7 or 9 to 15 bits a sample."""
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    first = {tag: values[0] for tag, values in tags.items()}
    return (
        len(bits) == 1
        and _LEAST <= bits[0] <= _MOST
        and bits[0] not in _OF_PILLOW
        and first.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) == 1
        and first.get(TiffImagePlugin.COMPRESSION, 1) == 1
        and first.get(TiffImagePlugin.FILLORDER, 1) == 1
        and first.get(TiffImagePlugin.SAMPLEFORMAT, 1) == 1
        and first.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) in (_MIN_IS_WHITE, _MIN_IS_BLACK)
        and TiffImagePlugin.TILEWIDTH not in tags
    )


def unpack_file(data: bytes, offset: int, *, is_big: bool, max_pixels: int) -> bytes:
    """Return the page at an offset as a TIFF of 16 bits a sample, which says what is white; zero is black in it.

    Raises:
        ImageError: The file ends too early, or holds more than `max_pixels`.
    """
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if is_big else 8])
    file = io.BytesIO(data)
    file.seek(offset)
    tags.load(file)
    width, height, bits = (int(_first(tags[tag])) for tag in (256, 257, 258))
    if width * height > max_pixels:
        raise ImageError("decode", "too large", f"{width} x {height} pixels; the limit is {max_pixels}")
    n_bytes = -(-width * bits // 8)
    places = zip(_all(tags[TiffImagePlugin.STRIPOFFSETS]), _all(tags[TiffImagePlugin.STRIPBYTECOUNTS]), strict=True)
    if n_bytes * height > len(data):
        raise ImageError("decode", "truncated", "the file has fewer bytes than its pixels")
    packed = b"".join(data[start : start + size] for start, size in places)
    if n_bytes * height > len(packed):
        raise ImageError("decode", "truncated", "the file has fewer bytes than its pixels")
    rows = np.frombuffer(packed, np.uint8, n_bytes * height).reshape(height, n_bytes)
    told = {tag: tags[tag] for tag in _KEPT if tag in tags}
    written = io.BytesIO()
    picture = Image.fromarray(unpack(rows, width=width, bits=bits))
    picture.save(written, "TIFF", tiffinfo={_MAX_SAMPLE: 2**bits - 1, **told})
    return written.getvalue()


def unpack(rows: npt.NDArray[np.uint8], *, width: int, bits: int) -> npt.NDArray[np.uint16]:
    """Unpack samples, the most significant bit first whatever the order of bytes, as TIFF 6.0 has it.

    Args:
        rows: uint8 [H, bytes a row]; each row begins with a byte of its own.
        width: Samples a row.
        bits: A sample's, 1 to 16.

    >>> unpack(np.array([[0b00000000, 0b01111111, 0b11100000]], "u1"), width=2, bits=10).tolist()
    [[1, 1022]]
    """
    values = np.empty((len(rows), width), np.uint16)
    n_rows = max(1, _STRIP_VALUES // max(1, width * bits))
    for top in range(0, len(rows), n_rows):
        one = np.unpackbits(rows[top : top + n_rows], axis=1, count=width * bits).reshape(-1, width, bits)
        values[top : top + n_rows] = sum(
            one[..., place].astype(np.uint16) << np.uint16(bits - 1 - place) for place in range(bits)
        )
    return values


def _all(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _first(value: Any) -> Any:
    return _all(value)[0]

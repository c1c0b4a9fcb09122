"""JPEG XL: the size in a file's header, and its pixels by the package of the extra `formats`."""

import struct
from collections.abc import Iterator

from PIL import Image

from frieze.core import ImageError
from frieze.embedder.images.signatures import can_read_jpeg_xl, unsupported_error

_BARE = b"\xff\x0a"
_BOX_BYTES, _PART_BYTES = 8, 4
_HEADER_BYTES = 16
"""The size stands in so many first bytes of the image."""
_WHOLE, _PART = b"jxlc", b"jxlp"
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Of width to height (ISO/IEC 18181-1, size header)."""


def read_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels as stored; None for a file whose header can't be read.

    >>> read_size(bytes.fromhex("ff0af8be0100"))
    (640, 480)
    """
    try:
        return _read_size(_Bits(_codestream(data)))
    except (struct.error, IndexError):
        return None


def read_orientation(data: bytes) -> int:
    """Return the EXIF orientation that stands behind the size; 1 where the header can't be read.

    >>> read_orientation(bytes.fromhex("ff0af8be0100"))
    1
    """
    try:
        bits = _Bits(_codestream(data))
    except (struct.error, IndexError):
        return 1
    _read_size(bits)
    is_all_default = bits.take(1)
    return 1 + bits.take(3) if not is_all_default and bits.take(1) else 1


class _Bits:
    """Reads unsigned numbers, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data[2:_HEADER_BYTES], "little")

    def take(self, n_bits: int) -> int:
        number = self._rest & ((1 << n_bits) - 1)
        self._rest >>= n_bits
        return number


def _read_size(bits: _Bits) -> tuple[int, int]:
    is_in_eights = bool(bits.take(1))
    height = _read_side(bits, is_in_eights=is_in_eights)
    ratio = bits.take(3)
    if ratio:
        above, below = _RATIOS[ratio - 1]
        return height * above // below, height
    return _read_side(bits, is_in_eights=is_in_eights), height


def _read_side(bits: _Bits, *, is_in_eights: bool) -> int:
    return 8 * (1 + bits.take(5)) if is_in_eights else 1 + bits.take(_SIDE_BITS[bits.take(2)])


def _codestream(data: bytes) -> bytes:
    """Return the beginning of the bare image: a container has it in one box or in several.

    Raises:
        IndexError: There is too little of it.
    """
    if data.startswith(_BARE):
        return data[:_HEADER_BYTES]
    beginning = b""
    for body in _bodies(data):
        beginning += body[: _HEADER_BYTES - len(beginning)]
        if len(beginning) == _HEADER_BYTES:
            break
    if not beginning.startswith(_BARE):
        raise IndexError
    return beginning


def _bodies(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _BOX_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + _BOX_BYTES
        if length == 1:  # the length is in the next eight bytes
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        if kind in (_WHOLE, _PART):
            end = at + length if length else len(data)
            yield data[start + _PART_BYTES * (kind == _PART) : min(end, start + _PART_BYTES + _HEADER_BYTES)]
        if length < _BOX_BYTES:  # 0: up to the end of the file
            return
        at += length


def open_jpeg_xl(data: bytes, size: tuple[int, int]) -> Image.Image | bytes:
    """Decode a JPEG XL.

    Args:
        data: The file.
        size: From `read_size`; in a file that says another one later, the sides change places at most.

    Returns:
        The image, upright as libjxl turns it; or the bytes of the JPEG that was packed into the file without a loss.

    Raises:
        ImageError: The extra is not installed, or the file is damaged.
    """
    if not can_read_jpeg_xl():
        raise unsupported_error(data)
    import pillow_jxl

    try:
        is_jpeg, info, pixels, profile, *_ = pillow_jxl.Decoder(num_threads=0)(data)
    except (RuntimeError, ValueError, OSError) as error:
        raise ImageError("decode", "damaged", "the JPEG XL is damaged, or ends too early") from error
    if {info.width, info.height} != set(size):
        raise ImageError("decode", "damaged", f"the JPEG XL says two sizes: {size} and {info.width} x {info.height}")
    if is_jpeg:
        return bytes(pixels)
    try:
        image = Image.frombytes(info.mode, (info.width, info.height), pixels)
    except ValueError as error:
        raise ImageError("decode", "unsupported", f"JPEG XL with pixels {info.mode} is not read") from error
    image.info["icc_profile"] = profile
    return image

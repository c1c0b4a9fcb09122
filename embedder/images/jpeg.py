"""Decodes usual JPEGs outside Python's interpreter lock, to the same pixels as Pillow does."""

import contextlib
import struct
import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from frieze.embedder.images.colour_profiles import ADOBE_INDEX
from frieze.embedder.images.decode_memory import DECODE_MEMORY, PROGRESSIVE_BYTES

SIGNATURE = b"\xff\xd8\xff"

_SOS, _FRAMES, _PROGRESSIVE = 0xFFDA, (0xFFC0, 0xFFC1, 0xFFC2), 0xFFC2
_JFIF_AT, _EXIF_AT, _PROFILE_AT, _ADOBE_AT = 0xFFE0, 0xFFE1, 0xFFE2, 0xFFEE
_READ = (*_FRAMES, _JFIF_AT, _EXIF_AT, _PROFILE_AT, _ADOBE_AT)
_SKIPPED = {0xFFC4, 0xFFDB, 0xFFDD, 0xFFFE, *range(0xFFE0, 0xFFF0)}  # tables, comments, APP0 to APP15
_METADATA = {0xFFFE, *range(0xFFE1, 0xFFF0)}  # comments, APP1 to APP15
"""Markers (ITU-T T.81, table B.1)."""

_EXIF, _XMP, _PROFILE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_JFIF_BYTES, _END = 16, b"\xff\xd9"  # a longer one has a small picture of its own
_NAMES, _SHORTEST_BYTES = {_JFIF_AT: b"JFIF", _ADOBE_AT: b"Adobe"}, 7
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT, _ENTRY_BYTES, _INLINE_BYTES = 0x0112, 3, 12, 4
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Type of an EXIF value -> its bytes (TIFF 6.0, section 2)."""

_LAYOUTS = {b"\x11", b"\x11\x11\x11", b"\x21\x11\x11", b"\x22\x11\x11", b"\x41\x11\x11"}
"""Sampling of the components: grey, 4:4:4, 4:2:2, 4:2:0, 4:1:1. Others are left to Pillow."""

_BITS, _MARKER_BYTES, _LENGTH_BYTES = 8, 2, 2
_DENOMINATORS = (8, 4, 2, 1)
_PIXEL_BYTES = 4

_THREAD, _KEPT_BYTES = threading.local(), 32 << 20


class JpegHeader(NamedTuple):
    """What is read of a JPEG before its pixels.

    Attributes:
        width: In pixels as stored.
        height: In pixels as stored.
        is_progressive: Whether all coefficients are held in memory while it is decoded.
        orientation: EXIF orientation; None for none.
        profile: The bytes of its ICC profile; empty for none.
        mode: `L` or `RGB`, as Pillow opens it.
        has_metadata: Whether it says more than its pixels: EXIF, a profile, a comment, a small picture.
    """

    width: int
    height: int
    is_progressive: bool
    orientation: int | None
    profile: bytes
    mode: str
    has_metadata: bool


class _UnusualError(Exception):
    """The file is left to Pillow."""


class _Reader:
    """Collects what the segments before the pixels contain."""

    def __init__(self) -> None:
        self.frame: tuple[int, int, bool] | None = None
        self.mode = ""
        self.exif = b""
        self.profiles: list[bytes] = []
        self.has_xmp_orientation = False
        self.has_metadata = False

    def read(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            self._read_frame(marker, body)
        elif marker == _EXIF_AT and body.startswith(_EXIF):
            _require(not self.exif and ADOBE_INDEX not in body)
            self.exif = body[len(_EXIF) :]
        elif marker == _EXIF_AT and body.startswith(_XMP):
            self.has_xmp_orientation |= b"Orientation" in body
        elif marker in _NAMES:  # Pillow refuses one that is too short
            _require(len(body) >= _SHORTEST_BYTES or not body.startswith(_NAMES[marker]))
        elif marker == _PROFILE_AT and body.startswith(_PROFILE):
            _require(self.frame is None)  # Pillow ignores a profile behind the frame
            self.profiles.append(body[len(_PROFILE) :])

    def _read_frame(self, marker: int, body: bytes) -> None:
        precision, height, width, n_components = struct.unpack_from(">BHHB", body)
        sampling = body[7::3][:n_components]
        _require(self.frame is None and precision == _BITS and sampling in _LAYOUTS and height > 0 and width > 0)
        self.frame, self.mode = (width, height, marker == _PROGRESSIVE), "RGB" if n_components > 1 else "L"

    def header(self) -> JpegHeader:
        if self.frame is None:
            raise _UnusualError
        orientation = _read_orientation(self.exif)
        _require(orientation is not None or not self.has_xmp_orientation)
        return JpegHeader(*self.frame, orientation, self._profile(), self.mode, self.has_metadata)

    def _profile(self) -> bytes:
        chunks = sorted(self.profiles)  # each begins with its number and the number of all
        is_whole = bool(chunks) and chunks[0][1] == len(chunks)
        return b"".join(chunk[2:] for chunk in chunks) if is_whole else b""


def _require(is_usual: bool) -> None:
    if not is_usual:
        raise _UnusualError


def read_header(data: bytes) -> JpegHeader | None:
    """Read what stands before the pixels; None for a file in which Pillow could read something else.

    Args:
        data: The file.
    """
    try:
        return _read_header(data)
    except (_UnusualError, struct.error, IndexError):
        return None


def is_small_jpeg(data: bytes, side_px: int) -> bool:
    """Tell whether a file is a whole JPEG of at most `side_px` pixels a side that holds nothing but its pixels."""
    header = read_header(data)
    if header is None or header.has_metadata:
        return False
    return data.endswith(_END) and max(header.width, header.height) <= side_px


def _read_header(data: bytes) -> JpegHeader:
    reader, at = _Reader(), 2
    marker, length = struct.unpack_from(">HH", data, at)
    while marker != _SOS:
        _require((marker in _FRAMES or marker in _SKIPPED) and length >= _LENGTH_BYTES)
        reader.has_metadata |= marker in _METADATA or (marker == _JFIF_AT and length > _JFIF_BYTES)
        if marker in _READ:
            reader.read(marker, data[at + _MARKER_BYTES + _LENGTH_BYTES : at + _MARKER_BYTES + length])
        at += _MARKER_BYTES + length
        marker, length = struct.unpack_from(">HH", data, at)
    return reader.header()


def _read_orientation(exif: bytes) -> int | None:
    """Return the orientation of an EXIF block; None for none."""
    if not exif:
        return None
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        raise _UnusualError
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (n_entries,) = struct.unpack_from(order + "H", exif, start)
    entries = exif[start + 2 : start + 2 + _ENTRY_BYTES * n_entries]
    for _, kind, count, at in struct.iter_unpack(order + "HHII", entries):  # Pillow ends at a value beyond the block
        n_bytes = count * _VALUE_BYTES.get(kind, len(exif))
        _require(n_bytes <= _INLINE_BYTES or at + n_bytes <= len(exif))
    orientations = [entry[1:4] for entry in struct.iter_unpack(order + "HHIHxx", entries) if entry[0] == _ORIENTATION]
    _require(
        len(entries) == _ENTRY_BYTES * n_entries
        and all(entry[:2] == (_SHORT, 1) for entry in orientations)
        and len(orientations) <= 1
    )
    return orientations[0][2] if orientations else None


def _take_buffer(n_bytes: int) -> npt.NDArray[np.uint8]:
    if n_bytes > _KEPT_BYTES:
        return np.empty(n_bytes, np.uint8)
    kept: npt.NDArray[np.uint8] | None = getattr(_THREAD, "buffer", None)
    if kept is None or len(kept) < n_bytes:
        kept = _THREAD.buffer = np.empty(n_bytes, np.uint8)
    return kept[:n_bytes]


def decode_pixels(data: bytes, header: JpegHeader, *, least_px: int, held: contextlib.ExitStack) -> Image.Image | None:
    """Decode the pixels at the fraction (1, 1/2, 1/4 or 1/8) that Pillow's draft mode picks.

    Args:
        data: The file.
        header: Of the file.
        least_px: Neither side of a fraction is smaller.
        held: Gets the reservation of memory.

    Returns:
        Mode RGBX, as stored; it maps the decoder's memory. None if the decoder warns: Pillow then says what is wrong.
    """
    scale = min(header.width // least_px, header.height // least_px)
    denominator = next((n for n in _DENOMINATORS if scale >= n), 1)
    width, height = -(-header.width // denominator), -(-header.height // denominator)
    n_bytes = width * height * _PIXEL_BYTES
    coefficients = header.width * header.height * PROGRESSIVE_BYTES * header.is_progressive
    held.enter_context(DECODE_MEMORY.take(n_bytes + coefficients))
    buffer = _take_buffer(n_bytes)
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGBX", min_height=height, min_width=width, buffer=buffer)
    except ValueError:
        return None
    if pixels.shape[:2] != (height, width):
        return None
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)

"""PNG chunks: those that Pillow does not expose, and those that make it reject or misread an image."""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TEXT_BYTES = 1 << 20
"""Pillow's limit for a compressed text; pixels do not depend on larger ones."""
_TEXTS_BYTES = 16 << 20
"""Limit for all decompressed texts of a file, so that many texts cost little time."""

_PILLOW_KEYS = frozenset(
    {b"transparency", b"interlace", b"bbox", b"icc_profile", b"gamma", b"srgb", b"default_image", b"disposal", b"blend"}
)
"""Keys of Pillow's `info`, which also receives a file's texts under their names."""
_TEXTS, _NAME_BYTES = (b"tEXt", b"zTXt", b"iTXt"), 79
_EXIF, _PLAIN_TEXT = b"exif", b"tEXt"  # Pillow reads this one as EXIF data on purpose

_HEAD, _CHECKSUM_BYTES = struct.Struct(">I4s"), 4
BIT_DEPTH_AT, COLOUR_TYPE_AT = 24, 25
"""Offsets of bit depth and colour type in the header."""


class Chunk(NamedTuple):
    """One chunk: its name, and the offsets of its start, data and end."""

    name: bytes
    start: int
    body: int
    end: int


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file up to its end or truncation."""
    at = len(SIGNATURE)
    while at + _HEAD.size <= len(data):
        size, name = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size + _CHECKSUM_BYTES
        yield Chunk(name, at, at + _HEAD.size, end)
        at = end


def is_16_bit(data: bytes) -> bool:
    """Return whether a file is a PNG of 16 bits a channel."""
    return data.startswith(SIGNATURE) and data[BIT_DEPTH_AT : BIT_DEPTH_AT + 1] == b"\x10"


def is_ios_png(data: bytes) -> bool:
    """Return whether a file is a CgBI PNG, as Xcode makes it: swapped colours, raw deflate."""
    return data.startswith(SIGNATURE) and next((one.name for one in read_chunks(data)), b"") == b"CgBI"


def significant_bits(data: bytes) -> int | None:
    """Return the significant bits a sample (sBIT), the maximum over channels; None without the chunk."""
    return max(read_body(data, b"sBIT"), default=None)


def read_body(data: bytes, name: bytes) -> bytes:
    """Return the data of a chunk before the pixels; empty without the chunk."""
    for chunk in itertools.takewhile(lambda one: one.name != b"IDAT", read_chunks(data)):
        if chunk.name == name:
            return data[chunk.body : chunk.end - _CHECKSUM_BYTES]
    return b""


def without_misleading_texts(data: bytes) -> bytes:
    """Return a PNG file without texts that Pillow would mistake for properties of the pixels."""
    if not data.startswith(SIGNATURE):
        return data
    return _without(data, (chunk for chunk in read_chunks(data) if _is_misleading(data, chunk)))


def _is_misleading(data: bytes, chunk: Chunk) -> bool:
    if chunk.name not in _TEXTS:
        return False
    name = data[chunk.body : min(chunk.end - _CHECKSUM_BYTES, chunk.body + _NAME_BYTES + 1)].partition(b"\0")[0]
    return name in _PILLOW_KEYS or (name == _EXIF and chunk.name != _PLAIN_TEXT)


def _without(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    kept, at = [], 0
    for chunk in chunks:
        kept.append(data[at : chunk.start])
        at = chunk.end
    return b"".join((*kept, data[at:])) if kept else data


def without_large_texts(data: bytes) -> bytes:
    """Return a PNG file without texts and colour profiles that are too large to decompress."""
    return _without(data, _large_texts(data))


def _large_texts(data: bytes) -> Iterator[Chunk]:
    left = _TEXTS_BYTES
    for chunk in read_chunks(data):
        size = _text_bytes(data, chunk, left)
        left -= size
        if size > _TEXT_BYTES or (size and left < 0):
            yield chunk


def _text_bytes(data: bytes, chunk: Chunk, left: int) -> int:
    """Return the decompressed size of a chunk's text; just above the limit for larger ones."""
    if chunk.name not in _COMPRESSED_AT:
        return 0
    body = data[chunk.body : chunk.end - _CHECKSUM_BYTES]
    at = _COMPRESSED_AT[chunk.name](body)
    if at < 0:
        return len(body)
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(body[at:], min(_TEXT_BYTES, max(left, 0)) + 1))
    except zlib.error:
        return len(body)


def _after_name(body: bytes) -> int:
    """Return the offset of the compressed data after name and method."""
    return body.find(b"\0") + 2


def _of_international(body: bytes) -> int:
    """Return the offset of an iTXt's compressed text, after name, flags and language; -1 if uncompressed."""
    name_end = body.find(b"\0")
    if body[name_end + 1 : name_end + 2] != b"\1":
        return -1
    return body.find(b"\0", body.find(b"\0", name_end + 3) + 1) + 1


def _of_plain(_body: bytes) -> int:
    return -1


_COMPRESSED_AT: dict[bytes, Callable[[bytes], int]] = {
    b"zTXt": _after_name,
    b"iCCP": _after_name,
    b"iTXt": _of_international,
    b"tEXt": _of_plain,
}
"""Chunk with a text -> offset of the compressed data; -1 for none."""

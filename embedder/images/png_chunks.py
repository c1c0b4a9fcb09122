"""The chunks of a PNG file that Pillow does not hand on, or refuses the whole image for."""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TEXT_BYTES = 1 << 20
"""Pillow's own limit for a compressed text: whoever reads pixels has no use for a larger one."""
_TEXTS_BYTES = 16 << 20
"""What all texts of a file may be taken apart to, so that a thousand of them cost no time either."""

_OWN_NAMES = frozenset(
    {b"transparency", b"interlace", b"bbox", b"icc_profile", b"gamma", b"srgb", b"default_image", b"disposal", b"blend"}
)
"""What Pillow calls things of its own in the dictionary into which it also puts a file's texts under their names."""
_TEXTS, _NAME_BYTES = (b"tEXt", b"zTXt", b"iTXt"), 79
_EXIF, _PLAIN_TEXT = b"exif", b"tEXt"  # which Pillow takes for EXIF data on purpose, where it is plain

_HEAD, _CHECKSUM_BYTES = struct.Struct(">I4s"), 4
BIT_DEPTH_AT, COLOUR_TYPE_AT = 24, 25
"""Where the header tells the bits a channel, and which channels there are."""


class Chunk(NamedTuple):
    """One chunk: its name, and where it begins, its data begin, and it ends."""

    name: bytes
    start: int
    body: int
    end: int


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file, as far as it goes."""
    at = len(SIGNATURE)
    while at + _HEAD.size <= len(data):
        size, name = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size + _CHECKSUM_BYTES
        yield Chunk(name, at, at + _HEAD.size, end)
        at = end


def is_deep(data: bytes) -> bool:
    """Tell whether a file is a PNG of 16 bits a channel."""
    return data.startswith(SIGNATURE) and data[BIT_DEPTH_AT : BIT_DEPTH_AT + 1] == b"\x10"


def is_of_ios(data: bytes) -> bool:
    """Tell whether a file is what Apple's tools make of a PNG: other order of colours, packed without a head."""
    return data.startswith(SIGNATURE) and next((one.name for one in read_chunks(data)), b"") == b"CgBI"


def significant_bits(data: bytes) -> int | None:
    """Return how many bits of a sample are told to carry something (sBIT), the most of all channels; None if untold."""
    return max(read_body(data, b"sBIT"), default=None)


def read_body(data: bytes, name: bytes) -> bytes:
    """Return the data of a chunk that stands before the pixels; none where it is not there."""
    for chunk in itertools.takewhile(lambda one: one.name != b"IDAT", read_chunks(data)):
        if chunk.name == name:
            return data[chunk.body : chunk.end - _CHECKSUM_BYTES]
    return b""


def without_misleading_texts(data: bytes) -> bytes:
    """Return a PNG file without the texts that Pillow would take for something else: for how it shows its pixels."""
    if not data.startswith(SIGNATURE):
        return data
    return _without(data, (chunk for chunk in read_chunks(data) if _is_misleading(data, chunk)))


def _is_misleading(data: bytes, chunk: Chunk) -> bool:
    if chunk.name not in _TEXTS:
        return False
    name = data[chunk.body : min(chunk.end - _CHECKSUM_BYTES, chunk.body + _NAME_BYTES + 1)].partition(b"\0")[0]
    return name in _OWN_NAMES or (name == _EXIF and chunk.name != _PLAIN_TEXT)


def _without(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    kept, at = [], 0
    for chunk in chunks:
        kept.append(data[at : chunk.start])
        at = chunk.end
    return b"".join((*kept, data[at:])) if kept else data


def without_large_texts(data: bytes) -> bytes:
    """Return a PNG file without the texts and colour profiles that are too large to be taken apart."""
    return _without(data, _large_texts(data))


def _large_texts(data: bytes) -> Iterator[Chunk]:
    left = _TEXTS_BYTES
    for chunk in read_chunks(data):
        size = _text_bytes(data, chunk, left)
        left -= size
        if size > _TEXT_BYTES or (size and left < 0):
            yield chunk


def _text_bytes(data: bytes, chunk: Chunk, left: int) -> int:
    """Return what a chunk's text takes, unpacked; of one over the limit a little more than that."""
    if chunk.name not in _PACKED_FROM:
        return 0
    body = data[chunk.body : chunk.end - _CHECKSUM_BYTES]
    at = _PACKED_FROM[chunk.name](body)
    if at < 0:
        return len(body)
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(body[at:], min(_TEXT_BYTES, max(left, 0)) + 1))
    except zlib.error:
        return len(body)


def _after_name(body: bytes) -> int:
    """Return where a compressed body begins behind its name and its method."""
    return body.find(b"\0") + 2


def _of_international(body: bytes) -> int:
    """Return where an iTXt's text begins, behind its name, flags, language and translated name; -1 where unpacked."""
    name_end = body.find(b"\0")
    if body[name_end + 1 : name_end + 2] != b"\1":
        return -1
    return body.find(b"\0", body.find(b"\0", name_end + 3) + 1) + 1


def _of_plain(_body: bytes) -> int:
    return -1


_PACKED_FROM: dict[bytes, Callable[[bytes], int]] = {
    b"zTXt": _after_name,
    b"iCCP": _after_name,
    b"iTXt": _of_international,
    b"tEXt": _of_plain,
}
"""Chunk with a text -> where in its data the compressed part begins; -1 where all is plain."""

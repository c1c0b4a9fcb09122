"""The framing of TFRecord files: where each record lies, and whether its bytes match its checksum.

Source: tensorflow/core/lib/io/record_writer.h.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from frieze.core import ImageError, Rows

_Checksums = npt.NDArray[np.uint32]

FRAME = struct.Struct("<QI")
"""Length and its checksum; the record and its checksum follow."""
CHECKSUM = struct.Struct("<I")
DAMAGED = "damaged archive"
_BLOCK_BYTES = 1 << 21


class Block(NamedTuple):
    """Records that follow each other.

    Attributes:
        data: Bytes of the file.
        at: Position of these bytes in the file.
        starts: int64 [N], where each record begins in `data`.
        sizes: int64 [N], its size in bytes.
        errors: Position of a record -> why it can't be used.
        end: Position in the file of the next record.
    """

    data: bytes
    at: int
    starts: Rows
    sizes: Rows
    errors: dict[int, ImageError]
    end: int


def read_block(file: BinaryIO, at: int, max_bytes: int) -> Block:
    """Read the next records of a file, about 2 MB of them; none where the first is larger, cut short or no record.

    Args:
        file: An open file.
        at: Where a record begins.
        max_bytes: Size of the largest record that can be used.

    Raises:
        OSError: It can't be read.
    """
    file.seek(at)
    data = file.read(_BLOCK_BYTES)
    starts, ends, of_lengths, of_records = _walk(data)
    is_wrong = of_lengths != _stored_checksums(data, starts - CHECKSUM.size)
    n = int(is_wrong.argmax()) if is_wrong.any() else len(starts)
    sizes = (ends - starts)[:n]
    is_damaged = of_records[:n] != _stored_checksums(data, ends[:n])
    errors = {row: _wrong_checksum() for row in np.flatnonzero(is_damaged).tolist()}
    errors |= {row: _too_large(int(sizes[row]), max_bytes) for row in np.flatnonzero(sizes > max_bytes).tolist()}
    return Block(data, at, starts[:n], sizes, errors, at + (int(ends[n - 1]) + CHECKSUM.size if n else 0))


def _walk(data: bytes) -> tuple[Rows, Rows, _Checksums, _Checksums]:
    """Return where each whole record begins and ends, and the checksums of its length and of its bytes."""
    start, last = FRAME.size, len(data) - CHECKSUM.size
    unpack, crc = FRAME.unpack_from, google_crc32c.value
    starts, ends, of_lengths, of_records = [], [], [], []  # no tuples, which the garbage collector would look at
    while start <= last:
        end = start + unpack(data, start - FRAME.size)[0]
        if end > last:
            break
        starts.append(start)
        ends.append(end)
        of_lengths.append(crc(data[start - FRAME.size : start - CHECKSUM.size]))
        of_records.append(crc(data[start:end]))
        start = end + CHECKSUM.size + FRAME.size
    return np.array(starts, np.int64), np.array(ends, np.int64), _mask(of_lengths), _mask(of_records)


def _mask(checksums: list[int]) -> _Checksums:
    """Return checksums as `masked_crc` does."""
    crc = np.array(checksums, np.uint32)
    return np.asarray((crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(0xA282EAD8), np.uint32)


def _stored_checksums(data: bytes, at: Rows) -> _Checksums:
    """Return the checksums at some positions."""
    stored = np.frombuffer(data, np.uint8)[at[:, None] + np.arange(CHECKSUM.size)]
    return np.asarray(stored.view("<u4")[:, 0], np.uint32)


def find_frames(file: BinaryIO, at: int, number: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each record.

    Args:
        file: An open file.
        at: Where a record begins.
        number: The number of this record.
        size_bytes: Size of the file; more where it is unknown.

    Raises:
        ImageError: The file is damaged, or is no TFRecord file.
        OSError: It can't be read.
    """
    while at < size_bytes:
        file.seek(at)
        frame = file.read(FRAME.size)
        if not frame:  # the end of compressed content
            return
        if len(frame) < FRAME.size:
            raise _damaged(number, at, "is cut short")
        length, checksum = FRAME.unpack(frame)
        if checksum != masked_crc(frame[:8]):
            raise _damaged(number, at, "is damaged, or the file is no TFRecord file")
        if at + FRAME.size + length + CHECKSUM.size > size_bytes:
            raise _damaged(number, at, "is cut short")
        yield at + FRAME.size, length
        at, number = at + FRAME.size + length + CHECKSUM.size, number + 1


def _damaged(number: int, at: int, what: str) -> ImageError:
    return ImageError("list", DAMAGED, f"record {number}, at byte {at}, {what}")


def read_record_at(file: BinaryIO, offset: int, size_bytes: int, max_bytes: int) -> bytes:
    """Read a record.

    Raises:
        ImageError: The record is too large, or its checksum is wrong.
    """
    if size_bytes > max_bytes:
        raise _too_large(size_bytes, max_bytes)
    file.seek(offset)
    record, checksum = file.read(size_bytes), file.read(CHECKSUM.size)
    if len(checksum) < CHECKSUM.size:
        raise ImageError("list", DAMAGED, f"the record at byte {offset - FRAME.size} is cut short")
    if checksum != CHECKSUM.pack(masked_crc(record)):
        raise _wrong_checksum()
    return record


def _too_large(size_bytes: int, max_bytes: int) -> ImageError:
    return ImageError("read", "too large", f"the record has {size_bytes} bytes; the limit is {max_bytes}")


def _wrong_checksum() -> ImageError:
    return ImageError("list", "damaged record", "its bytes do not match its checksum")


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C checksum of a record.

    Source: tensorflow/core/lib/hash/crc32c.h (the mask).

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

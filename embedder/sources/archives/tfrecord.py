"""TFRecord files of `tf.train.Example` and `tf.train.SequenceExample`, listed and read without TensorFlow.

Source: tensorflow/core/lib/io/record_writer.h (the framing).
"""

import contextlib
import dataclasses
import functools
import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES
from frieze.embedder.sources.archives.base import Archive, ByteRanges, open_archives
from frieze.embedder.sources.archives.compressed import borrow_archive, content_bytes, open_archive
from frieze.embedder.sources.archives.example import Record, parse
from frieze.embedder.sources.archives.record_images import (
    RecordImage,
    find_images,
    image_names,
    is_known,
    is_single,
    list_names,
)
from frieze.embedder.sources.archives.tfds import read_dataset_info
from frieze.embedder.sources.base import File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import stat_uri
from frieze.embedder.sources.listing import ImageRecord
from frieze.embedder.sources.tables.column_names import LABEL, pop_label, pop_text

_FRAME = struct.Struct("<QI")  # length and its checksum; the record and its checksum follow
_CHECKSUM = struct.Struct("<I")
_DAMAGED = "damaged archive"
_MAX_FRAMES = 1 << 20
_AHEAD_BYTES = 1 << 20


def open_tfrecord(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in TFRecord files.

    Args:
        files: The files.
        source: The source as the user typed it.
        options: `image`, `id` and `label` are names of features; by default as in `find_images`.

    Returns:
        One image a record; of a SequenceExample, and of a feature that holds several, one a frame. The other features
        are its columns: a value where no record has several, else a list; bytes as text, dropped where they are none. A
        record with a wrong checksum is a failure.

    Raises:
        InputError: As in `open_archives`.
    """
    opened = open_archives(files, source, options, _find, reader=_Records)
    listing = dataclasses.replace(opened.listing, images=_unwrap(opened.listing.images))
    return dataclasses.replace(opened, listing=listing)


def read_record(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the file.
        below: The rest of the image's URI: number of the record, of the frame where it has several and, where an
            option named it, the feature.

    Raises:
        ImageError: The image can't be read.
    """
    number, _, rest = below.partition("/")
    frame, _, feature = rest.partition("/")
    try:
        offset, size_bytes = _index(uri, stat_uri(uri))[int(number)]
        with borrow_archive(uri, MAX_BYTES) as file:
            record = parse(_read(file, offset, size_bytes, MAX_BYTES))
        if frame.isdecimal() and not image_names(record.features, rest):
            images = {str(image.frame): image for image in find_images(record, feature or None)}
            return images[frame].encode()
        return next(find_images(record, rest or None)).encode()
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except (ValueError, LookupError, StopIteration) as error:
        raise ImageError("read", "missing", f"{uri} holds no image {below}") from error


@functools.lru_cache(1)
def _index(uri: str, stat: tuple[int, int]) -> list[tuple[int, int]]:
    """Return offset and size of each record, cached until size or time change."""
    records: list[tuple[int, int]] = []
    with open_archive(uri, MAX_BYTES) as file, contextlib.suppress(ImageError):  # none after the damage is listed
        records.extend(_records(file, content_bytes(file, stat[0])))
    return records


def _find(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord]:
    with _reading_ahead(file) as ahead:
        yield from _find_records(archive, ahead)


@contextlib.contextmanager
def _reading_ahead(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file on disk with a buffer for many records, since a listing reads all of them, in order."""
    if not (isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)):
        yield file
        return
    ahead = io.BufferedReader(file.raw, _AHEAD_BYTES)
    try:
        yield ahead
    finally:
        ahead.detach()  # the file stays its owner's


def _find_records(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord]:
    info = read_dataset_info(archive.uri)
    if info is not None:
        archive.notes.add(info.note)
    for number, (offset, size_bytes) in enumerate(_records(file, content_bytes(file, archive.stat[0]))):
        try:
            data = _read(file, offset, size_bytes, archive.options.max_bytes)
            record = parse(data)
        except ImageError as error:
            if error.reason == _DAMAGED:  # and so is all that follows
                raise
            archive.fail(error.reason, error.message, below=f"/{number}")
            continue
        archive.keys.update(record.features, record.frames)
        image = None
        for image in find_images(record, archive.options.image):
            at = _location(image, data, offset)
            described = image if info is None else image._replace(features=info.translate(image.features))
            yield _to_record(archive, described, number, at)
        if image is None:
            archive.ignore("record without an image")
        else:
            _note_other_images(archive, record, image)


def _location(image: RecordImage, data: bytes, offset: int) -> int:
    """Return where an image is found again: its first byte; of bare samples record and frame, as a negative number.

    Raises:
        ImageError: The record has too many frames for that.
    """
    if image.shape is None:
        return offset + _find_bytes(data, image.data)  # equal bytes earlier in the record are the same image
    frame = image.frame or 0
    if frame >= _MAX_FRAMES:
        raise ImageError("list", "too large", f"a record has more than {_MAX_FRAMES:,} frames of bare samples")
    return -(offset * _MAX_FRAMES + frame)


def _find_bytes(data: bytes, image: bytes) -> int:
    """Return where an image begins in its record: by its head first, since `find` prepares all that it looks for."""
    head, at = image[:HEAD_BYTES], -1
    while (at := data.find(head, at + 1)) >= 0:
        if data.startswith(image, at):
            return at
    raise ValueError("The image is not in its record.")


def _note_other_images(archive: Archive, record: Record, image: RecordImage) -> None:
    """Note the images of a record that are not read, unless an option chose one."""
    if archive.options.image is not None:
        return
    features = record.features
    others = [
        name
        for name, values in features.items()
        if name != image.name and is_single(values) and is_known(features, values[0])
    ]
    others = sorted({*others, *list_names(record)} - {image.name})
    if others:
        archive.notes.add(
            f"Records hold other images beside {image.name}, which are not read: {', '.join(others)}."
            " Another is chosen with --image NAME."
        )


def _to_record(archive: Archive, image: RecordImage, number: int, offset: int) -> ImageRecord:
    options = archive.options
    frame = "" if image.frame is None else f"/{image.frame}"
    below = f"/{number}{frame}" + ("" if options.image is None else f"/{options.image}")
    named = (options.id, options.label)
    pairs = ((name, _to_column(values, is_text=name in named)) for name, values in image.features.items())
    columns = {name: values for name, values in pairs if values is not None}
    stated_id = pop_text(columns, [options.id] if options.id else ())
    label, label_from = None, None
    if options.labels == "folder":
        label, label_from = pop_label(columns, options.label, LABEL)
    location = (len(image.data), archive.stat[1], archive.number, offset)
    name = (stated_id or f"{archive.id}/{number}") + frame
    return ImageRecord(name, archive.uri + below, label, *location, columns, label_from)


class _Records(ByteRanges):
    """Reads encoded images as byte ranges, and bare samples by their record and frame."""

    def read_range(self, file: BinaryIO, offset: int, size_bytes: int) -> bytes:
        """Read one image."""
        if offset >= 0:
            return super().read_range(file, offset, size_bytes)
        start, frame = divmod(-offset, _MAX_FRAMES)
        file.seek(start - _FRAME.size)
        (length, _) = _FRAME.unpack(file.read(_FRAME.size))
        record = parse(_read(file, start, length, self.max_bytes))
        return next(image for image in find_images(record, self.image) if (image.frame or 0) == frame).encode()


def _records(file: BinaryIO, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each record.

    Raises:
        ImageError: The file is damaged, or is no TFRecord file.
        OSError: It can't be read.
    """
    at, number = 0, 0
    while at < size_bytes:
        file.seek(at)
        frame = file.read(_FRAME.size)
        if not frame:  # the end of compressed content
            return
        if len(frame) < _FRAME.size:
            raise _damaged(number, at, "is cut short")
        length, checksum = _FRAME.unpack(frame)
        if checksum != masked_crc(frame[:8]):
            raise _damaged(number, at, "is damaged, or the file is no TFRecord file")
        if at + _FRAME.size + length + _CHECKSUM.size > size_bytes:
            raise _damaged(number, at, "is cut short")
        yield at + _FRAME.size, length
        at, number = at + _FRAME.size + length + _CHECKSUM.size, number + 1


def _damaged(number: int, at: int, what: str) -> ImageError:
    return ImageError("list", _DAMAGED, f"record {number}, at byte {at}, {what}")


def _read(file: BinaryIO, offset: int, size_bytes: int, max_bytes: int) -> bytes:
    """Read a record.

    Raises:
        ImageError: The record is too large, or its checksum is wrong.
    """
    if size_bytes > max_bytes:
        raise ImageError("read", "too large", f"the record has {size_bytes} bytes; the limit is {max_bytes}")
    file.seek(offset)
    record, checksum = file.read(size_bytes), file.read(_CHECKSUM.size)
    if len(checksum) < _CHECKSUM.size:
        raise ImageError("list", _DAMAGED, f"the record at byte {offset - _FRAME.size} is cut short")
    if checksum != _CHECKSUM.pack(masked_crc(record)):
        raise ImageError("list", "damaged record", "its bytes do not match its checksum")
    return record


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C checksum of a record.

    Source: tensorflow/core/lib/hash/crc32c.h (the mask).

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _to_column(values: Any, *, is_text: bool) -> Any:
    """Convert the values of a feature for a column; None for bytes that are no text, unless the user says they are."""
    if len(values) == 0:
        return []  # without a type: the feature may have values in other records
    if not isinstance(values, list):
        return values
    try:
        return [value.decode(errors="backslashreplace" if is_text else "strict") for value in values]
    except UnicodeDecodeError:
        return None


def _unwrap(images: pa.Table) -> pa.Table:
    """Unwrap columns of lists in which no image has several values."""
    for number, field in enumerate(images.schema):
        column = images[field.name]
        if pa.types.is_list(field.type) and (pc.max(pc.list_value_length(column)).as_py() or 0) <= 1:
            chunks = [_first_values(chunk) for chunk in column.chunks]
            images = images.set_column(number, field.name, pa.chunked_array(chunks, field.type.value_type))
    return images


def _first_values(lists: pa.ListArray) -> pa.Array:
    at = pc.index_in(pa.array(np.arange(len(lists))), pc.list_parent_indices(lists))
    return pc.list_flatten(lists).take(at)

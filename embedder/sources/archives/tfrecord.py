"""TFRecord files of `tf.train.Example` and `tf.train.SequenceExample`, listed and read without TensorFlow."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES
from frieze.embedder.sources.archives.base import Archive, ByteRanges, open_archives
from frieze.embedder.sources.archives.compressed import borrow_archive, content_bytes, open_archive
from frieze.embedder.sources.archives.example import Record, parse
from frieze.embedder.sources.archives.record_frames import (
    CHECKSUM,
    DAMAGED,
    FRAME,
    Block,
    find_frames,
    read_block,
    read_record_at,
)
from frieze.embedder.sources.archives.record_images import (
    RecordImage,
    find_images,
    image_names,
    is_known,
    is_single,
    list_names,
)
from frieze.embedder.sources.archives.record_rows import alike_rows, to_columns, to_row
from frieze.embedder.sources.archives.tfds import DatasetInfo, read_dataset_info
from frieze.embedder.sources.base import File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import stat_uri
from frieze.embedder.sources.listing import ImageBatch, ImageRecord

_MAX_FRAMES = 1 << 20


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
            record = parse(read_record_at(file, offset, size_bytes, MAX_BYTES))
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
        records.extend(find_frames(file, 0, 0, content_bytes(file, stat[0])))
    return records


def _find(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord | ImageBatch]:
    info = read_dataset_info(archive.uri)
    if info is not None:
        archive.notes.add(info.note)
    if isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO):
        yield from _find_on_disk(archive, file, info)
        return
    for number, (offset, size_bytes) in enumerate(find_frames(file, 0, 0, content_bytes(file, archive.stat[0]))):
        with _record_failures(archive, number):
            data = read_record_at(file, offset, size_bytes, archive.options.max_bytes)
            yield from _find_images(archive, data, number, offset, info)


def _find_on_disk(archive: Archive, file: BinaryIO, info: DatasetInfo | None) -> Iterator[ImageRecord | ImageBatch]:
    """Yield the images of a file, whose records are read and parsed many at a time where they are alike."""
    at, number, size_bytes, max_bytes = 0, 0, archive.stat[0], archive.options.max_bytes
    while at < size_bytes:
        block = read_block(file, at, max_bytes)
        if len(block.starts):
            yield from _find_in_block(archive, block, number, info)
            at, number = block.end, number + len(block.starts)
            continue
        frame = next(find_frames(file, at, number, size_bytes), None)
        if frame is None:  # the file has become shorter
            return
        with _record_failures(archive, number):
            yield from _find_images(archive, read_record_at(file, *frame, max_bytes), number, frame[0], info)
        at, number = sum(frame) + CHECKSUM.size, number + 1


def _find_in_block(
    archive: Archive, block: Block, number: int, info: DatasetInfo | None
) -> Iterator[ImageRecord | ImageBatch]:
    alike = alike_rows(archive, block, number, info)
    row = 0
    while row < len(block.starts):
        if row in alike:
            yield alike[row]
            row += len(alike[row].images)
            continue
        start, size_bytes = int(block.starts[row]), int(block.sizes[row])
        with _record_failures(archive, number + row):
            if row in block.errors:
                raise block.errors[row]
            data = block.data[start : start + size_bytes]
            yield from _find_images(archive, data, number + row, block.at + start, info)
        row += 1


@contextlib.contextmanager
def _record_failures(archive: Archive, number: int) -> Iterator[None]:
    """Record that a record can't be listed, unless all that follows is damaged, too."""
    try:
        yield
    except ImageError as error:
        if error.reason == DAMAGED:
            raise
        archive.fail(error.reason, error.message, below=f"/{number}")


def _find_images(
    archive: Archive, data: bytes, number: int, offset: int, info: DatasetInfo | None
) -> Iterator[ImageRecord]:
    """Yield the images of one record."""
    record = parse(data)
    archive.keys.update(record.features, record.frames)
    image = None
    for image in find_images(record, archive.options.image):
        at = _location(image, data, offset)
        features = image.features if info is None else info.translate(image.features)
        columns = to_columns(features, archive.options)
        yield to_row(archive, columns, number, image.frame, location=(len(image.data), at))
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


class _Records(ByteRanges):
    """Reads encoded images as byte ranges, and bare samples by their record and frame."""

    def read_range(self, file: BinaryIO, offset: int, size_bytes: int) -> bytes:
        """Read one image."""
        if offset >= 0:
            return super().read_range(file, offset, size_bytes)
        start, frame = divmod(-offset, _MAX_FRAMES)
        file.seek(start - FRAME.size)
        (length, _) = FRAME.unpack(file.read(FRAME.size))
        record = parse(read_record_at(file, start, length, self.max_bytes))
        return next(image for image in find_images(record, self.image) if (image.frame or 0) == frame).encode()


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

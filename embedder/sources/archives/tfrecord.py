"""TFRecord files of `tf.train.Example`, listed and read without TensorFlow.

Source: tensorflow/core/lib/io/record_writer.h (the framing), tensorflow/core/example/{example,feature}.proto.
"""

import contextlib
import dataclasses
import functools
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.signatures import is_image
from frieze.embedder.sources.archives.base import Archive, open_archives
from frieze.embedder.sources.base import File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import open_uri, stat_uri
from frieze.embedder.sources.listing import ImageRecord
from frieze.embedder.sources.tables.column_names import IMAGE, LABEL, pop_label, pop_text

_FRAME = struct.Struct("<QI")  # length and its checksum; the record and its checksum follow
_CHECKSUM = struct.Struct("<I")
_UNSUPPORTED = "unsupported"

_MESSAGES = {
    "BytesList": [("value", "repeated", "bytes")],
    "FloatList": [("value", "repeated", "float")],
    "Int64List": [("value", "repeated", "int64")],
    "Feature": [
        ("bytes", "optional", "BytesList"),
        ("floats", "optional", "FloatList"),
        ("ints", "optional", "Int64List"),
    ],
    "Entry": [("key", "optional", "bytes"), ("value", "optional", "Feature")],
    "Features": [("feature", "repeated", "Entry")],
    "FeatureList": [("feature", "repeated", "Feature")],
    "ListEntry": [("key", "optional", "bytes"), ("value", "optional", "FeatureList")],
    "FeatureLists": [("entry", "repeated", "ListEntry")],
    "Example": [("features", "optional", "Features"), ("lists", "optional", "FeatureLists")],  # of a SequenceExample
}
"""Fields of each Protobuf message, numbered from 1, as on the wire, where a map is a list of entries."""


def open_tfrecord(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in TFRecord files.

    Args:
        files: The files.
        source: The source as the user typed it.
        options: `image`, `id` and `label` are names of features. By default the image is the first feature with the
            signature of an image, common names first.

    Returns:
        One image a record. The other features are its columns: a value where no record has several, else a list; bytes
        as text, dropped where they are none. A record with a wrong checksum is a failure.

    Raises:
        InputError: As in `open_archives`.
    """
    opened = open_archives(files, source, options, _find)
    listing = dataclasses.replace(opened.listing, images=_unwrap(opened.listing.images))
    return dataclasses.replace(opened, listing=listing)


def read_record(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the file.
        below: The rest of the image's URI: number of the record and, where an option named it, the feature.

    Raises:
        ImageError: The image can't be read.
    """
    number, _, feature = below.partition("/")
    try:
        offset, size_bytes = _index(uri, stat_uri(uri))[int(number)]
        with open_uri(uri) as file:
            features = _parse(_read(file, offset, size_bytes, MAX_BYTES))
        image: bytes = features[_image_names(features, feature or None)[0]][0]
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except (ValueError, LookupError) as error:
        raise ImageError("read", "missing", f"{uri} holds no image {below}") from error
    return image


@functools.lru_cache(1)
def _index(uri: str, stat: tuple[int, int]) -> list[tuple[int, int]]:
    """Return offset and size of each record, cached until size or time change."""
    records: list[tuple[int, int]] = []
    with open_uri(uri) as file, contextlib.suppress(ImageError):  # records after the damage are not listed
        records.extend(_records(file, stat[0]))
    return records


def _find(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord]:
    for number, (offset, size_bytes) in enumerate(_records(file, archive.stat[0])):
        try:
            data = _read(file, offset, size_bytes, archive.options.max_bytes)
            features = _parse(data)
            names = _image_names(features, archive.options.image) or _refuse_several(features)
        except ImageError as error:
            at = f" (record {number}, at byte {offset - _FRAME.size})" if error.reason == _UNSUPPORTED else ""
            archive.fail(error.reason, f"{error.message}{at}", below=f"/{number}")
            continue
        archive.keys.update(features)
        if names:
            _note_other_images(archive, features, names)
            image = features.pop(names[0])[0]
            # Equal bytes earlier in the record are the same image.
            yield _to_record(archive, features, number, offset + data.find(image), len(image))
        else:
            archive.ignore("record without an image")


def _refuse_several(features: dict[str, Any]) -> list[str]:
    """Reject a record with several images in one feature; return no names for any other.

    Raises:
        ImageError: A feature holds several images.
    """
    for name, values in features.items():
        if isinstance(values, list) and len(values) > 1 and is_image(values[0]):
            raise ImageError("list", _UNSUPPORTED, f"{name} holds {len(values)} images; expected is one an Example")
    return []


def _note_other_images(archive: Archive, features: dict[str, Any], names: Sequence[str]) -> None:
    """Note the images of a record that are not read, unless an option chose one."""
    others = sorted({name for name in names[1:] if name != names[0] and is_image(features[name][0])})
    if others and archive.options.image is None:
        archive.notes.add(
            f"Records hold other images beside {names[0]}, which are not read: {', '.join(others)}."
            " Another is chosen with --image NAME."
        )


def _to_record(archive: Archive, features: dict[str, Any], number: int, offset: int, size_bytes: int) -> ImageRecord:
    options = archive.options
    below = f"/{number}" if options.image is None else f"/{number}/{options.image}"
    columns = {name: _to_column(values) for name, values in features.items()}
    columns = {name: values for name, values in columns.items() if values is not None}
    stated_id = pop_text(columns, [options.id] if options.id else ())
    label, label_from = None, None
    if options.labels == "folder":
        label, label_from = pop_label(columns, [options.label] if options.label else LABEL)
    location = (size_bytes, archive.stat[1], archive.number, offset)
    return ImageRecord(
        stated_id or f"{archive.id}/{number}", archive.uri + below, label, *location, columns, label_from
    )


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
        if len(frame) < _FRAME.size:
            raise _damaged(number, at, "is cut short")
        length, checksum = _FRAME.unpack(frame)
        if checksum != masked_crc(frame[:8]):
            raise _damaged(number, at, "is damaged, or the file is compressed or no TFRecord file")
        if at + _FRAME.size + length + _CHECKSUM.size > size_bytes:
            raise _damaged(number, at, "is cut short")
        yield at + _FRAME.size, length
        at, number = at + _FRAME.size + length + _CHECKSUM.size, number + 1


def _damaged(number: int, at: int, what: str) -> ImageError:
    return ImageError("list", "damaged archive", f"record {number}, at byte {at}, {what}")


def _read(file: BinaryIO, offset: int, size_bytes: int, max_bytes: int) -> bytes:
    """Read a record.

    Raises:
        ImageError: The record is too large, or its checksum is wrong.
    """
    if size_bytes > max_bytes:
        raise ImageError("read", "too large", f"the record has {size_bytes} bytes; the limit is {max_bytes}")
    file.seek(offset)
    record, checksum = file.read(size_bytes), file.read(_CHECKSUM.size)
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


@functools.cache
def _example() -> Any:
    """Return the class of `tf.train.Example`, made in a separate pool: TensorFlow may register its own later."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="frieze/example.proto", package="frieze")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for number, (name, label, kind) in enumerate(fields, 1):
            field = made.field.add(name=name, number=number, label=kinds.Label.Value(f"LABEL_{label.upper()}"))
            if kind in _MESSAGES:
                field.type_name = f".frieze.{kind}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("frieze.Example"))


def _parse(record: bytes) -> dict[str, Any]:
    """Return the features of a record by name: a list of bytes, or an array of int64 or float32.

    Raises:
        ImageError: The record is no Example.
    """
    from google.protobuf.message import DecodeError

    try:
        example = _example().FromString(record)
    except DecodeError as error:
        raise ImageError("list", "damaged record", f"it is no tf.train.Example: {error}") from error
    if example.HasField("lists"):
        n_frames = max((len(entry.value.feature) for entry in example.lists.entry), default=0)
        message = f"it is a tf.train.SequenceExample of {n_frames} frames; expected is a tf.train.Example an image"
        raise ImageError("list", _UNSUPPORTED, message)
    entries = {entry.key.decode(errors="backslashreplace"): entry.value for entry in example.features.feature}
    return {name: _values(entries[name]) for name in sorted(entries)}


def _values(feature: Any) -> Any:
    if feature.HasField("floats"):
        return np.array(feature.floats.value, np.float32)
    if feature.HasField("ints"):
        return np.array(feature.ints.value, np.int64)
    return list(feature.bytes.value)


def _image_names(features: dict[str, Any], option: str | None) -> list[str]:
    """Return the features that may be the image of a record, the most likely first."""
    names = (*IMAGE, *features) if option is None else (option,)
    single = [name for name in names if isinstance(features.get(name), list) and len(features[name]) == 1]
    recognized = [name for name in single if is_image(features[name][0])]
    return recognized + [name for name in single if name == option or name in IMAGE]


def _to_column(values: Any) -> Any:
    """Convert the values of a feature for a column; None for bytes that are no text."""
    if len(values) == 0:
        return []  # without a type: the feature may have values in other records
    if not isinstance(values, list):
        return values
    try:
        return [value.decode() for value in values]
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

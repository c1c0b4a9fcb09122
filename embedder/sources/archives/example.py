"""`tf.train.Example` and `tf.train.SequenceExample`, parsed without TensorFlow.

Source: tensorflow/core/example/{example,feature}.proto.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from frieze.core import ImageError

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


@functools.cache
def _example() -> Any:
    """Return the class of `tf.train.Example`, made in a separate pool: TensorFlow may register its own later."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="frieze/example.proto", package="frieze")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        if message == "Feature":
            made.oneof_decl.add(name="kind")
        for number, (name, label, kind) in enumerate(fields, 1):
            field = made.field.add(name=name, number=number, label=kinds.Label.Value(f"LABEL_{label.upper()}"))
            if message == "Feature":
                field.oneof_index = 0
            if kind in _MESSAGES:
                field.type_name = f".frieze.{kind}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("frieze.Example"))


class Record(NamedTuple):
    """The content of a record.

    Attributes:
        features: Name -> a list of bytes, or an array of int64 or float32; of a SequenceExample those of its context.
        frames: Name -> the values of each frame of a SequenceExample; empty for an Example.
    """

    features: dict[str, Any]
    frames: dict[str, list[Any]]


def parse(record: bytes) -> Record:
    """Parse a record.

    Raises:
        ImageError: The record is no Example.
    """
    from google.protobuf.message import DecodeError

    try:
        example = _example().FromString(record)
    except DecodeError as error:
        raise ImageError("list", "damaged record", f"it is no tf.train.Example: {error}") from error
    features = {_name(entry): _values(entry.value) for entry in example.features.feature}
    frames = {}
    if example.HasField("lists"):
        frames = {_name(entry): [_values(one) for one in entry.value.feature] for entry in example.lists.entry}
    return Record(dict(sorted(features.items())), dict(sorted(frames.items())))


def _name(entry: Any) -> str:
    return str(entry.key.decode(errors="backslashreplace"))


def _values(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    if kind == "floats":
        return np.array(feature.floats.value[:], np.float32)
    if kind == "ints":
        return np.array(feature.ints.value[:], np.int64)
    return feature.bytes.value[:]

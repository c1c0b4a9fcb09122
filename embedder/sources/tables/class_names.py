"""Metadata of Hugging Face datasets in Parquet and Arrow files: class names of numbers, and the column of images."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError

_METADATA = b"huggingface"
_UNKNOWN = -1
"""The number of an unknown class."""


def image_column(metadata: dict[bytes, bytes] | None) -> str | None:
    """Return the column that the metadata of a file say holds images; None where they name none or several.

    >>> image_column({b"huggingface": b'{"info": {"features": {"img": {"_type": "Image"}, "label": {}}}}'})
    'img'
    """
    try:
        features: Any = json.loads((metadata or {}).get(_METADATA, b"{}"))["info"]["features"]
        names = [str(name) for name, feature in features.items() if feature.get("_type") == "Image"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return names[0] if len(names) == 1 else None


def with_class_names(table: pa.Table, uri: str) -> pa.Table:
    """Replace class numbers by names in the columns whose features are `ClassLabel`, alone or in lists.

    Args:
        table: With its file's metadata.
        uri: URI of the file, for messages.

    Raises:
        InputError: A number has no name.
    """
    for number, name in enumerate(table.column_names):
        names = _read_names(table.schema.metadata or {}, name)
        column = table[name]
        if names and pa.types.is_integer(column.type):
            table = table.set_column(number, name, _to_names(column, names, f"{name} of {uri}"))
        elif names and pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type):
            chunks = [_lists_of_names(chunk, names, f"{name} of {uri}") for chunk in column.chunks]
            table = table.set_column(number, name, pa.chunked_array(chunks, pa.list_(pa.string())))
    return table


def _read_names(metadata: dict[bytes, bytes], column: str) -> list[str]:
    """Return the class names of a column; none without valid metadata."""
    try:
        feature: Any = json.loads(metadata.get(_METADATA, b"{}"))["info"]["features"][column]
        feature = feature.get("feature", feature)  # of lists
        return list(map(str, feature["names"])) if feature["_type"] == "ClassLabel" else []
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _to_names(numbers: Any, names: list[str], column: str) -> Any:
    known = pc.if_else(pc.equal(numbers, _UNKNOWN), pa.scalar(None, numbers.type), numbers)
    wrong = known.filter(pc.or_(pc.less(known, 0), pc.greater_equal(known, len(names))))
    if len(wrong):
        raise InputError(
            f"The column {column} holds class {wrong[0].as_py()}, and its metadata name {len(names)} classes.",
            hint="Write the file with all names, or without them: table.replace_schema_metadata(None).",
        )
    return pa.chunked_array([pa.array(names, pa.string())]).take(known)


def _lists_of_names(lists: Any, names: list[str], column: str) -> pa.Array:
    names_of_items = _to_names(lists.flatten(), names, column)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, names_of_items.combine_chunks(), mask=lists.is_null())

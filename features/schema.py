"""Arrow schemas: the columns of a part, of a listing and of failures.parquet."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import Floats
from frieze.features.perceptual_hash import HASH_VERSION
from frieze.features.picture_statistics import STATISTICS, STATISTICS_VERSION
from frieze.features.spec import BackboneSpec

CONTRACT = 1
"""Version of docs/format.md."""

SPEC_KEY = b"frieze:backbone"
"""Key of the backbone's spec in a part's file metadata."""

LISTING = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
    ]
)
"""One candidate image of a source; size and time are null where unknown, and the user columns follow."""

BOX_PATTERN = r"#-?\d+,-?\d+,-?\d+,-?\d+"
"""What the id of a part of an image has behind that of the image, `#x,y,width,height`, as a regular expression."""

OURS = ("id", "uri", "label", "sha256", "size_bytes", "mtime_ns", "width", "height", "embedding")
"""The columns of a part that are not user columns."""

HASHES = ("phash", "content_phash")
"""The columns of perceptual hashes, after `OURS`; a table has both or none."""

PART = "frieze:part"
"""The column with the part number of a stored row; it is never stored."""

FAILURES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("mtime", pa.int64()),
    ]
)
"""One unusable image: size in bytes, mtime in nanoseconds since 1970."""

_LABEL = pa.dictionary(pa.int32(), pa.string())
_HASH_MARK = {b"frieze:perceptual_hash": HASH_VERSION.encode()}
"""Metadata of a column of perceptual hashes, so that a user column of that name is none."""
_STATISTICS_MARK = {b"frieze:picture_statistics": STATISTICS_VERSION.encode()}
"""Metadata of a column of picture statistics."""


def part_schema(
    spec: BackboneSpec,
    user_columns: Sequence[pa.Field] = (),
    *,
    has_perceptual_hashes: bool = False,
    has_statistics: bool = False,
) -> pa.Schema:
    """Return the schema of a part with this backbone's embeddings.

    Args:
        spec: The backbone; it decides the width of `embedding` and is stored in the file metadata.
        user_columns: The user columns, stored after ours.
        has_perceptual_hashes: Whether the table has the columns `HASHES`.
        has_statistics: Whether the table has the columns `STATISTICS`.
    """
    value = pa.field("element", pa.float32(), nullable=False)
    ours = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("label", _LABEL),
        pa.field("sha256", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("embedding", pa.list_(value, spec.dim), nullable=False),
    ]
    if has_perceptual_hashes:
        ours += [pa.field(name, pa.uint64(), metadata=_HASH_MARK) for name in HASHES]
    if has_statistics:
        ours += [pa.field(name, pa.float32(), metadata=_STATISTICS_MARK) for name in STATISTICS]
    metadata = {SPEC_KEY: json.dumps(spec.to_json(), sort_keys=True).encode(), b"frieze:contract": str(CONTRACT)}
    marked = (*HASHES, *STATISTICS)
    users = [field.remove_metadata() if field.name in marked else field for field in user_columns]  # no mark of ours
    return pa.schema([*ours, *users], metadata=metadata)


def perceptual_hash_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of `HASHES` that a schema has as ours; a user column of such a name is none of them."""
    return [name for name in HASHES if name in schema.names and schema.field(name).metadata == _HASH_MARK]


def statistics_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of `STATISTICS` that a schema has as ours."""
    return [name for name in STATISTICS if name in schema.names and schema.field(name).metadata == _STATISTICS_MARK]


def wrong_columns(
    schema: pa.Schema, spec: BackboneSpec, *, has_perceptual_hashes: bool, has_statistics: bool = False
) -> list[str]:
    """Describe each of our columns that a part lacks or has in another type: the expected and the actual type."""
    expected = part_schema(spec, has_perceptual_hashes=has_perceptual_hashes, has_statistics=has_statistics)
    actual = {name: schema.field(name) if schema.names.count(name) == 1 else "nothing" for name in expected.names}
    return [f"expected {field}, but found {actual[field.name]}" for field in expected if field != actual[field.name]]


def user_columns(names: Iterable[str]) -> list[str]:
    """Return the stored names of user columns: `source_` is put before a name of ours.

    >>> user_columns(["year", "width"]), user_columns(["uri", "source_uri"])
    (['year', 'source_width'], ['source_source_uri', 'source_uri'])
    """
    return list(free_names(names, (*OURS, PART)).values())


def free_names(names: Iterable[str], reserved: Collection[str]) -> dict[str, str]:
    """Map each name to itself, or to one with `source_` before it where it is reserved.

    >>> free_names(["score", "year"], ["score"])
    {'score': 'source_score', 'year': 'year'}
    """
    names = list(names)
    return {name: _free_name(name, names, reserved) for name in names}


def _free_name(name: str, names: Sequence[str], reserved: Collection[str]) -> str:
    free = name
    while free in reserved or (free != name and free in names):
        free = f"source_{free}"
    return free


def to_part(columns: dict[str, Any], embeddings: Floats, schema: pa.Schema) -> pa.Table:
    """Build rows of a part from columns and embeddings.

    Args:
        columns: One array or list of N values for each column but `embedding`.
        embeddings: float32 [N, D].
        schema: From `part_schema`.

    Returns:
        A table of N rows.
    """
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("embedding").type)
    arrays = [vectors if name == "embedding" else _column(columns[name], schema.field(name)) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: Any, field: pa.Field) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(field.type)
    if pa.types.is_dictionary(field.type):
        return pa.array(values, field.type.value_type).cast(field.type)
    return pa.array(values, field.type)


def to_embeddings(vectors: Any) -> Floats:
    """Convert an `embedding` column to float32 [N, D], without a copy where it is contiguous."""
    if isinstance(vectors, pa.ChunkedArray):
        vectors = vectors.combine_chunks()
    floats = np.asarray(vectors.flatten(), dtype=np.float32)
    return floats.reshape(len(vectors), vectors.type.list_size)

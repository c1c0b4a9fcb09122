"""Found images, gathered into a listing without a million Python objects."""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from features import LISTING, Failure, Rows, first_of_each, user_column

_BATCH_ROWS = 16_384
_HAS_NO_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)  # what Arrow raises for values of several


class Found(NamedTuple):
    """One image of a source.

    Attributes:
        id: Its stored name.
        uri: Absolute path or URL.
        label: None where unknown.
        size_bytes: None where unknown, as is `mtime_ns`, in nanoseconds since 1970.
        file: Number of the file that holds it, where one holds many.
        offset: Where in that file, in what unit suits its kind.
        columns: The user's own columns.
    """

    id: str
    uri: str
    label: str | None
    size_bytes: int | None
    mtime_ns: int | None
    file: int = 0
    offset: int = 0
    columns: dict[str, Any] | None = None


class Collected(NamedTuple):
    """What was found.

    Attributes:
        images: A table with the columns of `LISTING`, then the user's own; each id once.
        files: int64 [N], the number of the file that holds each.
        offsets: int64 [N], where in that file.
        repeats: A failure for each image that was left out because its id was there before.
    """

    images: pa.Table
    files: Rows
    offsets: Rows
    repeats: list[Failure]


def collect(found: Iterable[Found]) -> Collected:
    """Gather images in batches of Arrow columns."""
    batches, files, offsets = [], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    remaining = iter(found)
    while rows := list(itertools.islice(remaining, _BATCH_ROWS)):
        batches.append(_to_table(rows))
        files.append(np.array([row.file for row in rows], np.int64))
        offsets.append(np.array([row.offset for row in rows], np.int64))
    images = _join([LISTING.empty_table(), *batches])
    first, repeats = first_of_each(images)
    return Collected(images.take(first), np.concatenate(files)[first], np.concatenate(offsets)[first], repeats)


def _to_table(rows: list[Found]) -> pa.Table:
    ours = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), LISTING, strict=False)]
    table = pa.Table.from_arrays(ours, schema=LISTING)
    names = {user_column(name): name for row in rows for name in row.columns or ()}
    for stored_as, name in names.items():
        table = table.append_column(stored_as, _to_array([(row.columns or {}).get(name) for row in rows]))
    return table


def _join(tables: list[pa.Table]) -> pa.Table:
    """Put tables one below the other; each may have columns, and types of them, that others have not."""
    images = pa.concat_tables([table.select(LISTING.names) for table in tables])
    for name in dict.fromkeys(name for table in tables for name in table.column_names[len(LISTING) :]):
        images = images.append_column(name, _join_column(tables, name))
    return images


def _join_column(tables: list[pa.Table], name: str) -> pa.ChunkedArray | pa.Array:
    parts = [
        table.select([name]) if name in table.column_names else pa.table({name: pa.nulls(len(table))})
        for table in tables
    ]
    try:
        return pa.concat_tables(parts, promote_options="default")[name]
    except _HAS_NO_TYPE:
        return _to_array([value for part in parts for value in part[name].to_pylist()])


def _to_array(values: list[Any]) -> pa.Array:
    """Lay out values whose type nobody told; mixed ones as text."""
    try:
        return pa.array(values)
    except _HAS_NO_TYPE:
        plain = (value.tolist() if isinstance(value, np.ndarray) else value for value in values)
        return pa.array([None if value is None else str(value) for value in plain])

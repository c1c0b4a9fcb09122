"""Found images, gathered into a listing without a million Python objects."""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows
from frieze.features import LISTING, Failure, user_columns

_BATCH_ROWS = 16_384

_INT64_MAX = (1 << 63) - 1

_MAX_DEPTH = 32  # a list is two levels of a Parquet schema, whose readers stop at 100

_HAS_NO_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)  # what Arrow raises for values of several


class ImageRecord(NamedTuple):
    """One image of a source.

    Attributes:
        id: Its stored name.
        uri: Absolute path or URL.
        label: None where unknown.
        size_bytes: None where unknown, as is `mtime_ns`, in nanoseconds since 1970.
        file: Number of the file that holds it, where one holds many.
        offset: Where in that file, in what unit suits its kind.
        columns: The user's own columns.
        label_from: The one of them that holds the label, and nothing else: it goes unless it is a list elsewhere.
    """

    id: str
    uri: str
    label: str | None
    size_bytes: int | None
    mtime_ns: int | None
    file: int = 0
    offset: int = 0
    columns: dict[str, Any] | None = None
    label_from: str | None = None


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


def build_listing(found: Iterable[ImageRecord], listed: Callable[[int], None] = lambda _: None) -> Collected:
    """Gather images in batches of Arrow columns.

    Args:
        found: The images.
        listed: Told after every 16,384 how many there are so far.
    """
    batches, files, offsets = (
        [_Batch(LISTING.empty_table(), {}, pa.array([], pa.string()))],
        [np.empty(0, np.int64)],
        [np.empty(0, np.int64)],
    )
    remaining = iter(found)
    while rows := list(itertools.islice(remaining, _BATCH_ROWS)):
        batches.append(_to_batch(rows))
        files.append(np.array([row.file for row in rows], np.int64))
        offsets.append(np.array([row.offset for row in rows], np.int64))
        if len(rows) == _BATCH_ROWS:
            listed(_BATCH_ROWS * (len(batches) - 1))
    images = _join(batches)
    first, repeats = first_of_each(images)
    return Collected(images.take(first), np.concatenate(files)[first], np.concatenate(offsets)[first], repeats)


class _Batch(NamedTuple):
    """Some images: our columns, the user's under the user's names, and which of these hold the label alone."""

    images: pa.Table
    own: dict[str, pa.Array]
    label_from: pa.Array


def _to_batch(rows: list[ImageRecord]) -> _Batch:
    ours = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), LISTING, strict=False)]
    names = dict.fromkeys(name for row in rows for name in row.columns or ())
    own = {name: to_array([(row.columns or {}).get(name) for row in rows]) for name in names}
    label_from = pa.array([row.label_from for row in rows], pa.string())
    return _Batch(pa.Table.from_arrays(ours, schema=LISTING), own, label_from)


def _join(batches: list[_Batch]) -> pa.Table:
    """Put batches one below the other; each may have columns, and types of them, that others have not."""
    images = pa.concat_tables([batch.images for batch in batches])
    names = list(dict.fromkeys(name for batch in batches for name in batch.own))
    label_from = pa.chunked_array([batch.label_from for batch in batches])
    for stored_as, name in zip(user_columns(names), names, strict=True):
        column = _without_labels(_join_column(batches, name), pc.equal(label_from, name))
        if column is not None:
            images = images.append_column(stored_as, column)
    return images


def _without_labels(column: Any, is_label: pa.ChunkedArray) -> Any:
    """Leave out what is an image's label; None where nothing else is in the column.

    Lists of which some image's has several values all stay.
    """
    if not pc.any(is_label).as_py():
        return column
    if not pa.types.is_list(column.type) or (pc.max(pc.list_value_length(column)).as_py() or 0) > 1:
        return column
    rows = pa.array(np.arange(len(column)), mask=np.asarray(pc.fill_null(is_label, False)))  # noqa: FBT003  Arrow's own
    rest = column.take(rows)
    return rest if pc.max(pc.list_value_length(rest)).as_py() else None


def _join_column(batches: list[_Batch], name: str) -> pa.ChunkedArray | pa.Array:
    parts = [pa.table({name: batch.own.get(name, pa.nulls(len(batch.images)))}) for batch in batches]
    try:
        return pa.concat_tables(parts, promote_options="default")[name]
    except _HAS_NO_TYPE:
        return to_array([value for part in parts for value in part[name].to_pylist()])


def to_array(values: list[Any]) -> pa.Array:
    """Lay out values whose type nobody told; mixed and deeply nested ones as text.

    >>> to_array([2**64 - 1]).type, to_array([2**64]).type, to_array([2**53 + 1, 0.5]).to_pylist()
    (DataType(uint64), DataType(string), ['9007199254740993', '0.5'])
    >>> to_array([1, 2.5]).to_pylist(), to_array([1, "two"]).to_pylist(), to_array([0.5, True]).to_pylist()
    ([1.0, 2.5], ['1', 'two'], ['0.5', 'True'])
    """
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    kinds = {type(value) for value in plain}
    try:
        if bool not in kinds or kinds <= {bool, type(None)}:  # among numbers Arrow would take True for 1
            array = pa.array(values, pa.uint64() if _is_large(plain) else None)
            if _depth(array.type) <= _MAX_DEPTH:
                return array
    except _HAS_NO_TYPE:
        pass
    return pa.array([None if value is None else _to_text(value) for value in plain])


def _is_large(values: list[Any]) -> bool:
    """Tell whether some are whole numbers that only fit without a sign: Arrow has to be told."""
    return any(isinstance(value, int) and value > _INT64_MAX for value in values) and all(
        value is None or (isinstance(value, int) and value >= 0) for value in values
    )


def _to_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _depth(kind: pa.DataType) -> int:
    """Count the levels of lists and structs in a type; more than `_MAX_DEPTH` is not counted to its end."""
    fields, depth = [kind], 0
    while depth <= _MAX_DEPTH and (fields := [one.field(n).type for one in fields for n in range(one.num_fields)]):
        depth += 1
    return depth


def first_of_each(images: pa.Table) -> tuple[Rows, list[Failure]]:
    """Find the first row of each id; the others become failures.

    Args:
        images: A table with the columns of `LISTING`.

    Returns:
        The rows that stay, int64 in ascending order, and a failure for each row left out.
    """
    ids = images["id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return np.arange(len(ids)), []
    _, first = np.unique(ids.to_numpy(), return_index=True)
    repeats = np.delete(np.arange(len(ids)), first)
    return np.sort(first), [_repeated(row) for row in images.take(repeats).to_pylist()]


def _repeated(row: dict[str, object]) -> Failure:
    message = "another image of the source has the same id"
    return Failure(str(row["id"]), str(row["uri"]), "list", "repeated id", message)

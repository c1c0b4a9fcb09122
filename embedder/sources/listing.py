"""Builds the listing of a source: a table of images in Arrow columns, without a million Python objects."""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows
from frieze.embedder.sources.label_lists import LABELS, has_several, is_list, to_label_lists
from frieze.features import LISTING, Failure, user_columns

_BATCH_ROWS = 16_384

_INT64_MAX = (1 << 63) - 1

_MAX_DEPTH = 32  # a list is two levels of a Parquet schema, whose readers stop at 100

_HAS_NO_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)  # what Arrow raises for values of several types


class ImageRecord(NamedTuple):
    """One image of a source.

    Attributes:
        id: Its stored name.
        uri: Absolute path or URL.
        label: None where unknown.
        size_bytes: None where unknown.
        mtime_ns: Nanoseconds since 1970; None where unknown.
        file: Number of the archive that holds it.
        offset: Its position in that archive, in the unit of the archive's kind.
        columns: The user's columns.
        label_from: The column that only holds the label: it is dropped unless other images have several values in it.
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


class ListedImages(NamedTuple):
    """A table of images, and where each lies in its archive.

    Attributes:
        images: A table with the columns of `LISTING`, then the user's; ids are unique.
        files: int64 [N], the number of the archive that holds each.
        offsets: int64 [N], the position in that archive.
        duplicates: A failure for each image that is dropped because its id occurs before.
    """

    images: pa.Table
    files: Rows
    offsets: Rows
    duplicates: list[Failure]


def build_listing(records: Iterable[ImageRecord], on_progress: Callable[[int], None] = lambda _: None) -> ListedImages:
    """Build the table of images in batches, and deduplicate ids.

    Args:
        records: The images.
        on_progress: Called with the number of images after every 16,384.
    """
    batches, files, offsets = (
        [_Batch(LISTING.empty_table(), {}, pa.array([], pa.string()))],
        [np.empty(0, np.int64)],
        [np.empty(0, np.int64)],
    )
    remaining = iter(records)
    while rows := list(itertools.islice(remaining, _BATCH_ROWS)):
        batches.append(_to_batch(rows))
        files.append(np.array([row.file for row in rows], np.int64))
        offsets.append(np.array([row.offset for row in rows], np.int64))
        if len(rows) == _BATCH_ROWS:
            on_progress(_BATCH_ROWS * (len(batches) - 1))
    images = _join(batches)
    first, duplicates = deduplicate_ids(images)
    return ListedImages(images.take(first), np.concatenate(files)[first], np.concatenate(offsets)[first], duplicates)


class _Batch(NamedTuple):
    """Some images: the columns of `LISTING`, the user's columns, and the name of each image's column of labels."""

    images: pa.Table
    columns: dict[str, pa.Array]
    label_from: pa.Array


def _to_batch(rows: list[ImageRecord]) -> _Batch:
    listing = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), LISTING, strict=False)]
    names = dict.fromkeys(name for row in rows for name in row.columns or ())
    columns = {name: infer_array([(row.columns or {}).get(name) for row in rows]) for name in names}
    label_from = pa.array([row.label_from for row in rows], pa.string())
    return _Batch(pa.Table.from_arrays(listing, schema=LISTING), columns, label_from)


def _join(batches: list[_Batch]) -> pa.Table:
    """Concatenate batches; each may have other columns, and other types in them."""
    images = pa.concat_tables([batch.images for batch in batches])
    names = list(dict.fromkeys(name for batch in batches for name in batch.columns))
    label_from = pa.chunked_array([batch.label_from for batch in batches])
    for stored_as, name in zip(user_columns(names), names, strict=True):
        is_label = pc.equal(label_from, name)
        column = _without_labels(_join_column(batches, name), is_label)
        if column is None:
            continue
        if is_list(column.type) and has_several(column) and pc.any(is_label).as_py():
            column = to_label_lists(column.to_pylist(), images["label"].to_pylist())
            stored_as = LABELS if LABELS not in {*names, *images.column_names} - {name} else stored_as  # noqa: PLW2901
        images = images.append_column(stored_as, column)
    return images


def _without_labels(column: Any, is_label: pa.ChunkedArray) -> Any:
    """Replace labels in a column by null; return None where nothing else is left.

    A column of lists stays unchanged if any image has several values.
    """
    if not pc.any(is_label).as_py():
        return column
    if not is_list(column.type) or has_several(column):
        return column
    rows = pa.array(np.arange(len(column)), mask=np.asarray(pc.fill_null(is_label, False)))  # noqa: FBT003  Arrow's own
    rest = column.take(rows)
    return rest if pc.max(pc.list_value_length(rest)).as_py() else None


def _join_column(batches: list[_Batch], name: str) -> pa.ChunkedArray | pa.Array:
    parts = [pa.table({name: batch.columns.get(name, pa.nulls(len(batch.images)))}) for batch in batches]
    try:
        return pa.concat_tables(parts, promote_options="default")[name]
    except _HAS_NO_TYPE:
        return infer_array([value for part in parts for value in part[name].to_pylist()])


def infer_array(values: list[Any]) -> pa.Array:
    """Convert values to an array of an inferred type; mixed and deeply nested values become text.

    >>> infer_array([2**64 - 1]).type, infer_array([2**64]).type, infer_array([2**53 + 1, 0.5]).to_pylist()
    (DataType(uint64), DataType(string), ['9007199254740993', '0.5'])
    >>> infer_array([1, 2.5]).to_pylist(), infer_array([1, "two"]).to_pylist(), infer_array([0.5, True]).to_pylist()
    ([1.0, 2.5], ['1', 'two'], ['0.5', 'True'])
    """
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    kinds = {type(value) for value in plain}
    try:
        if bool not in kinds or kinds <= {bool, type(None)}:  # Arrow would convert True among numbers to 1
            array = pa.array(values, pa.uint64() if _is_large(plain) else None)
            if _depth(array.type) <= _MAX_DEPTH:
                return array
    except _HAS_NO_TYPE:
        pass
    return pa.array([None if value is None else _to_text(value) for value in plain])


def _is_large(values: list[Any]) -> bool:
    """Return whether values need uint64, which Arrow does not infer."""
    return any(isinstance(value, int) and value > _INT64_MAX for value in values) and all(
        value is None or (isinstance(value, int) and value >= 0) for value in values
    )


def _to_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _depth(kind: pa.DataType) -> int:
    """Count the levels of lists and structs in a type, up to `_MAX_DEPTH` + 1."""
    fields, depth = [kind], 0
    while depth <= _MAX_DEPTH and (fields := [one.field(n).type for one in fields for n in range(one.num_fields)]):
        depth += 1
    return depth


def deduplicate_ids(images: pa.Table) -> tuple[Rows, list[Failure]]:
    """Deduplicate ids: keep the first row of each id; the others become failures.

    Args:
        images: A table with the columns of `LISTING`.

    Returns:
        The rows to keep, int64 in ascending order, and a failure for each dropped row.
    """
    ids = images["id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return np.arange(len(ids)), []
    _, first = np.unique(ids.to_numpy(), return_index=True)
    dropped = np.delete(np.arange(len(ids)), first)
    return np.sort(first), [_duplicate_id(row) for row in images.take(dropped).to_pylist()]


def _duplicate_id(row: dict[str, object]) -> Failure:
    message = "another image of the source has the same id"
    return Failure(str(row["id"]), str(row["uri"]), "list", "repeated id", message)

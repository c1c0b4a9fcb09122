"""Builds the listing of a source: a table of images in Arrow columns, without a million Python objects."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows
from frieze.embedder.sources.label_lists import LABELS, has_several, to_label_lists
from frieze.features import LISTING, Failure, is_list, user_columns

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


class ImageBatch(NamedTuple):
    """Some images of a source as arrays: what as many `ImageRecord` are.

    Attributes:
        images: A table with the columns of `LISTING`.
        columns: The user's columns.
        label_from: The column that only holds the label of each image, null for none.
        files: int64 [N], the number of the archive that holds each.
        offsets: int64 [N], the position in that archive.
    """

    images: pa.Table
    columns: dict[str, pa.Array]
    label_from: pa.Array
    files: Rows
    offsets: Rows

    def slice(self, start: int, n: int) -> "ImageBatch":
        """Return the images from one on."""
        images, label_from = self.images.slice(start, n), self.label_from.slice(start, n)
        columns = {name: column.slice(start, n) for name, column in self.columns.items()}
        return ImageBatch(images, columns, label_from, self.files[start : start + n], self.offsets[start : start + n])


def build_listing(
    records: Iterable[ImageRecord | ImageBatch], on_progress: Callable[[int], None] = lambda _: None
) -> ListedImages:
    """Build the table of images in batches, and deduplicate ids.

    Args:
        records: The images.
        on_progress: Called with the number of images after every 16,384, or more where they are batches.
    """
    batches, n_listed, n_told = [_to_batch([])], 0, 0
    for batch in _batches(records):
        batches.append(batch)
        n_listed += len(batch.images)
        if n_listed >= n_told + _BATCH_ROWS:
            n_told = n_listed
            on_progress(n_listed)
    images = _join(batches)
    files, offsets = (np.concatenate(parts) for parts in zip(*(batch[-2:] for batch in batches), strict=True))
    first, duplicates = deduplicate_ids(images)
    return ListedImages(images.take(first), files[first], offsets[first], duplicates)


def _batches(records: Iterable[ImageRecord | ImageBatch]) -> Iterator[ImageBatch]:
    rows: list[ImageRecord] = []
    for record in records:
        if isinstance(record, ImageRecord):
            rows.append(record)
        if rows and (len(rows) == _BATCH_ROWS or isinstance(record, ImageBatch)):
            yield _to_batch(rows)
            rows = []
        if isinstance(record, ImageBatch):
            yield record
    if rows:
        yield _to_batch(rows)


def _to_batch(rows: list[ImageRecord]) -> ImageBatch:
    arrays = zip(*rows, strict=True) if rows else [()] * len(LISTING)
    listing = [pa.array(column, field.type) for column, field in zip(arrays, LISTING, strict=False)]
    names = dict.fromkeys(name for row in rows for name in row.columns or ())
    columns = {name: infer_array([(row.columns or {}).get(name) for row in rows]) for name in names}
    label_from = pa.array([row.label_from for row in rows], pa.string())
    files, offsets = np.array([row.file for row in rows], np.int64), np.array([row.offset for row in rows], np.int64)
    return ImageBatch(pa.Table.from_arrays(listing, schema=LISTING), columns, label_from, files, offsets)


def _join(batches: list[ImageBatch]) -> pa.Table:
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


def _join_column(batches: list[ImageBatch], name: str) -> pa.ChunkedArray | pa.Array:
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

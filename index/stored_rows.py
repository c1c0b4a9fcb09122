"""Rows of a stored index: by id, filter or label; their metadata, hashes and embeddings."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats, InputError, Rows
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.filters import conjuncts
from frieze.indexing.filters.conjuncts import Conjunct
from frieze.indexing.filters.parse import find_rows
from frieze.indexing.storage.row_metadata import abbreviate_id
from frieze.indexing.stored_index import Index

_BLOCK_ROWS = 8192


def look_up(index: Index, id: str) -> dict[str, Any]:  # noqa: A002  the stored name of an image is its id everywhere
    """Return the metadata of one image: its columns as plain JSON values.

    Raises:
        InputError: No image has that id.
    """
    row = index.row_metadata.find(id)
    if row is None:
        raise InputError(
            f"No image in {index.path} has the id {abbreviate_id(id)}.", hint=index.row_metadata.suggest(id)
        )
    return index.row_metadata.take(np.array([row]))[0]


def id_rows(index: Index, ids: Sequence[str]) -> Rows:
    """Return the row numbers of some images, in the order requested.

    Raises:
        InputError: No image has one of these ids.
    """
    rows = pc.index_in(pa.array(ids, pa.string()), value_set=index.row_metadata.ids)
    if rows.null_count:
        look_up(index, ids[rows.is_null().index(True).as_py()])
    return np.asarray(rows).astype(np.int64)


def known_rows(index: Index, ids: Sequence[str]) -> Rows:
    """Return the row numbers of those of some ids that the index has, in their order."""
    rows = pc.index_in(pa.array(ids, pa.string()), value_set=index.row_metadata.ids)
    return np.asarray(rows.drop_null()).astype(np.int64)


def take_rows(index: Index, rows: Rows) -> list[dict[str, Any]]:
    """Return the metadata of some rows as plain JSON values, in the order requested."""
    return index.row_metadata.take(rows)


def read_hashes(index: Index, ids: Collection[str]) -> dict[str, str | None]:
    """Return the sha256 of some images, None for one without; ids that the index does not have are left out."""
    is_asked = pc.is_in(index.row_metadata.ids, value_set=pa.array(list(ids), pa.string()))
    rows = np.asarray(pc.indices_nonzero(is_asked)).astype(np.int64)
    return {metadata["id"]: metadata.get("sha256") for metadata in take_rows(index, rows)}


def filter_rows(index: Index, where: str | None) -> Rows:
    """Return the rows that pass a filter, in the order of the table; all rows for None.

    Returns:
        int64 [n].

    Raises:
        InputError: The filter can't be used.
    """
    return np.arange(len(index)) if where is None else find_rows(index.row_metadata, where)


def row_filter(index: Index, rows: Rows) -> RowFilter | None:
    """Return what restricts a search to some rows int64 [n], ascending; None for all."""
    return None if len(rows) == len(index) else RowFilter(rows, len(index))


def split_filter(index: Index, where: str | None) -> list[Conjunct]:
    """Return the conditions that a filter joins with `and`; none for None.

    Raises:
        InputError: It can't be parsed.
    """
    return [] if where is None else conjuncts.split_filter(index.row_metadata, where)


def read_columns(index: Index, names: list[str]) -> pa.Table:
    """Return some columns of all N rows with Arrow types."""
    return index.row_metadata.read(names)


def label_rows(index: Index, label: str | None) -> Rows:
    """Return the rows with a label, or those without one for None, in the order of the table: int64 [n]."""
    labels = _labels(index)
    passed = pc.is_null(labels) if label is None else pc.fill_null(pc.equal(labels, pa.scalar(label)), False)  # noqa: FBT003
    return np.asarray(pc.indices_nonzero(passed)).astype(np.int64)


def count_labels(index: Index) -> dict[str | None, int]:
    """Count the images of each label, in the order of the labels' names; None, for those without, comes last."""
    counts = {one["values"]: one["counts"] for one in _labels(index).value_counts().to_pylist()}
    return {label: counts[label] for label in sorted(counts, key=lambda label: (label is None, label))}


def label_codes(index: Index) -> tuple[Sequence[str], Rows]:
    """Return the sorted names of the labels and each row's label number, int64 [N]; -1 where it has none."""
    labels = _labels(index)
    names = sorted(label for label in labels.unique().to_pylist() if label is not None)
    codes = pc.index_in(labels, pa.array(names, pa.string()))
    return names, np.asarray(pc.fill_null(codes, -1)).astype(np.int64)


def column_types(index: Index) -> dict[str, str]:
    """Return the columns that filters can use, each with its type."""
    return {field.name: str(field.type) for field in index.row_metadata.schema}


def read_vectors(index: Index, rows: Rows) -> Iterator[Floats]:
    """Yield the stored embeddings of some rows, float32 [n, D] a block; of unit length where the metric is cosine."""
    for start in range(0, len(rows), _BLOCK_ROWS):
        yield index.searcher.reconstruct(rows[start : start + _BLOCK_ROWS])


def _labels(index: Index) -> pa.ChunkedArray:
    labels = index.row_metadata.read(["label"])["label"]
    return labels.cast(pa.string()) if pa.types.is_dictionary(labels.type) else labels

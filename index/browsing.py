"""Looking through an index without a query: what is known of its images, page by page."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import Floats, InputError, Rows
from index.filters import find_rows
from index.rows import to_shown
from index.search import Index

_BLOCK_ROWS = 8192


def look_up(index: Index, id: str) -> dict[str, Any]:  # noqa: A002  the stored name of an image is its id everywhere
    """Give what is known of one image: its columns as plain JSON values.

    Raises:
        InputError: No image has that id.
    """
    row = index.stored_rows.find(id)
    if row is None:
        raise InputError(f"No image in {index.path} has the id {to_shown(id)}.", mend=index.stored_rows.suggest(id))
    return index.stored_rows.take(np.array([row]))[0]


def take(index: Index, rows: Rows) -> list[dict[str, Any]]:
    """Give what is known of some rows, in the order asked for."""
    return index.stored_rows.take(rows)


def select(index: Index, where: str | None) -> Rows:
    """Give the rows that pass a filter, in the order of the table; None for all.

    Returns:
        int64 [n].

    Raises:
        InputError: The filter can't be used.
    """
    return np.arange(len(index)) if where is None else find_rows(index.stored_rows, where)


def label_rows(index: Index, label: str | None) -> Rows:
    """Give the rows with a label, or those without one, in the order of the table: int64 [n]."""
    labels = _labels(index)
    passed = pc.is_null(labels) if label is None else pc.fill_null(pc.equal(labels, pa.scalar(label)), False)  # noqa: FBT003
    return np.asarray(pc.indices_nonzero(passed)).astype(np.int64)


def count_labels(index: Index) -> dict[str | None, int]:
    """Count the images of each label, in the order of the labels' names; None, for those without, comes last."""
    counted = {one["values"]: one["counts"] for one in _labels(index).value_counts().to_pylist()}
    return {label: counted[label] for label in sorted(counted, key=lambda label: (label is None, label))}


def label_codes(index: Index) -> tuple[Sequence[str], Rows]:
    """Give the names of the labels, sorted, and for each row the number of its own; -1 where it has none."""
    labels = _labels(index)
    names = sorted(label for label in labels.unique().to_pylist() if label is not None)
    found = pc.index_in(labels, pa.array(names, pa.string()))
    return names, np.asarray(pc.fill_null(found, -1)).astype(np.int64)


def name_columns(index: Index) -> dict[str, str]:
    """Name what filters can ask for, each with its type."""
    return {field.name: str(field.type) for field in index.stored_rows.schema}


def read_vectors(index: Index, rows: Rows) -> Iterator[Floats]:
    """Give the stored embeddings of some rows, float32 [n, D] a block; of unit length where the metric is cosine."""
    for start in range(0, len(rows), _BLOCK_ROWS):
        yield index.searcher.reconstruct(rows[start : start + _BLOCK_ROWS])


def _labels(index: Index) -> pa.ChunkedArray:
    labels = index.stored_rows.read(["label"])["label"]
    return labels.cast(pa.string()) if pa.types.is_dictionary(labels.type) else labels

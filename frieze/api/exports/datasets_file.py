"""A Parquet file that Hugging Face's `datasets` opens with images, class labels and vectors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from frieze import terminal
from frieze.api.exports.pictures import IMAGE, image_column, note_on_missing
from frieze.api.exports.rows import ExportRows, RowBatch, add_embeddings, slices
from frieze.core import check_table_file, write_table_file

_FIRST = ["image", "id"]
_ROWS = 64  # at once: a batch may hold the bytes of as many images


def check_datasets(out: Path, *, force: bool) -> None:
    """Check that a Parquet file can be written.

    Raises:
        FeatureFileError: It can't, or `out` is something else than an exported table.
    """
    check_table_file(out, lambda names: names[:2] == _FIRST, "exported table", force=force, suffix=".parquet")


def write_datasets(rows: ExportRows, out: Path, *, force: bool, vectors: bool) -> list[str]:
    """Write a table with a column `image`; `label` has the numbers of the classes, whose names are in the metadata.

    Returns:
        A note on images that can't be read.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken.
    """
    del force, vectors
    names = sorted({label for label in rows.table.labels if label is not None})
    writer = _Tables(names)
    _, batches = ExportRows(rows.table, rows.head, ("image",)).batches()
    tables = writer.convert(slices(batches, _ROWS))
    first = next(tables, None)
    if first is None:
        first = writer.to_table(RowBatch(rows.batches()[0].empty_table(), rows.table.embeddings()))
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    schema = first.schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    with terminal.spinner("Exporting"):
        write_table_file(out, schema, _chain(first, tables))
    return note_on_missing(writer.n_missing)


def _chain(first: pa.Table, others: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    yield from others


class _Tables:
    """Makes tables with images and numbers of classes, and counts the images that can't be read."""

    def __init__(self, names: list[str]) -> None:
        self._numbers: dict[Any, int] = {name: number for number, name in enumerate(names)}
        self.n_missing = 0

    def convert(self, batches: Iterator[RowBatch]) -> Iterator[pa.Table]:
        for batch in batches:
            yield self.to_table(batch)

    def to_table(self, batch: RowBatch) -> pa.Table:
        columns = batch.columns
        images = image_column(columns["uri"].to_pylist())
        self.n_missing += images.null_count
        numbers = pa.array([self._numbers.get(label) for label in columns["label"].to_pylist()], pa.int64())
        columns = columns.set_column(columns.column_names.index("label"), "label", numbers)
        return add_embeddings(columns.add_column(0, pa.field("image", IMAGE), images), batch.embeddings)

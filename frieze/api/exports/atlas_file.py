"""A Parquet file for embedding-atlas: points of a map, neighbours and small pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from frieze import terminal
from frieze.api.duplicate_groups import nearest_rows, temporary_index
from frieze.api.exports.pictures import thumbnail_column
from frieze.api.exports.rows import ExportRows, RowBatch, add_embeddings
from frieze.core import Floats, Rows, check_table_file, evenly_spaced, write_table_file
from frieze.reports.projection import project

_OURS = ("x", "y", "neighbors", "image")
_FIRST = ["id", *_OURS]
_NEIGHBORS = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
_N_NEIGHBORS = 15
_MOST_PICTURES, _SIDE_PX = 20_000, 128


def check_atlas(out: Path, *, force: bool) -> None:
    """Check that a Parquet file can be written.

    Raises:
        FeatureFileError: It can't, or `out` is something else than an exported table.
    """
    check_table_file(
        out, lambda names: names[: len(_FIRST)] == _FIRST, "exported table", force=force, suffix=".parquet"
    )


def write_atlas(rows: ExportRows, out: Path, *, force: bool, vectors: bool) -> list[str]:
    """Write a table with `x` and `y` (PCA), the nearest rows by cosine and a small picture of each image.

    Returns:
        A note on how many have a picture, where some have none.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken.
    """
    del force, vectors
    table, count = rows.table, len(rows.table)
    with temporary_index(table, out) as index:
        ids, scores = nearest_rows(index, table, k=_N_NEIGHBORS)
    points = project(table.embeddings(), np.arange(count), method="pca").positions if count else np.empty((0, 2), "f4")
    shown = set(evenly_spaced(np.arange(count), _MOST_PICTURES).tolist())
    schema, batches = ExportRows(table, rows.head, _OURS).batches()
    writer = _Tables(points, ids, scores, shown, table.spec.decoding)
    empty = writer.to_table(RowBatch(schema.empty_table(), np.empty((0, rows.dim), np.float32)), 0)
    with terminal.spinner("Exporting"):
        write_table_file(out, empty.schema, writer.convert(batches))
    n_left = count - writer.n_pictures
    return [f"{writer.n_pictures:,} of {count:,} images have a small picture in the file."] if n_left else []


class _Tables:
    """Makes tables with the columns of `_OURS`, and counts the pictures."""

    def __init__(self, points: Floats, ids: Rows, scores: Floats, shown: set[int], decoding: str) -> None:
        self._points, self._ids, self._scores, self._shown = points, ids, scores, shown
        self._decoding = decoding
        self.n_pictures = 0

    def convert(self, batches: Iterator[RowBatch]) -> Iterator[pa.Table]:
        start = 0
        for batch in batches:
            yield self.to_table(batch, start)
            start += len(batch.columns)

    def to_table(self, batch: RowBatch, start: int) -> pa.Table:
        columns, end = batch.columns, start + len(batch.columns)
        uris = columns["uri"].to_pylist()
        chosen = [uri if start + i in self._shown else None for i, uri in enumerate(uris)]
        pictures = thumbnail_column(chosen, _SIDE_PX, decoding=self._decoding)
        self.n_pictures += len(pictures) - pictures.null_count
        pairs = zip(self._ids[start:end].tolist(), (1 - self._scores[start:end]).tolist(), strict=True)
        near = pa.array([{"ids": ids, "distances": distances} for ids, distances in pairs], _NEIGHBORS)
        arrays = [*(pa.array(axis) for axis in self._points[start:end].T), near, pictures]
        for number, (name, array) in enumerate(zip(_OURS, arrays, strict=True), 1):
            columns = columns.add_column(number, name, array)
        return add_embeddings(columns, batch.embeddings)

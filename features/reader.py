"""Read a table of features: ids, labels, metadata and embeddings, whole or in batches."""

import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import Floats, Strings, TablePath, to_table_path
from frieze.features import data_frames
from frieze.features.concat import join_rows
from frieze.features.manifest import Manifest, Part
from frieze.features.schema import to_embeddings
from frieze.features.snapshot import Snapshot
from frieze.features.spec import BackboneSpec

_BATCH_ROWS = 4096


class Features:
    """A stored table of images and their embeddings, read in the order of part number, then row.

    Attributes:
        path: The folder.
        manifest: The content of features.json when the table was opened; later writes are not seen.
        snapshot: Reads the parts.
        labels_from: The `column`, or the `file` and its `column`, of the labels; None for the stored ones.
    """

    def __init__(self, path: TablePath, manifest: Manifest | None = None, *, snapshot: Snapshot | None = None) -> None:
        self.path = path.absolute()  # pyarrow takes a relative `a:b` for a URL
        self.snapshot = snapshot or Snapshot(self.path, manifest)
        self.manifest = manifest or self.snapshot.manifest
        self.labels_from: dict[str, str] | None = None

    def __len__(self) -> int:
        return self.manifest.n_rows

    def __repr__(self) -> str:
        return f"Features({len(self):,} x {self.spec.dim:,}, {self.spec.name}, {str(self.path)!r})"

    @property
    def spec(self) -> BackboneSpec:
        """The backbone behind the embeddings."""
        return self.manifest.spec

    @functools.cached_property
    def rows(self) -> pa.Table:
        """Every column but the embedding: ours, then the user columns; a column of several types is text."""
        tables = [self.snapshot.read(part, _read_all_but_embedding) for part in self.manifest.parts]
        return join_rows(tables) if tables else _no_rows()

    def row_tables(self) -> Iterator[pa.Table]:
        """Read `rows` in batches: all columns of a part of 100,000 rows may take a hundred megabytes.

        Yields:
            Tables with the schema of `rows`; none spans two parts.

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        if self.labels_from is not None:  # then all rows are in memory
            yield from self._slices()
            return
        schemas = [self.snapshot.read(part, lambda file: file.schema_arrow) for part in self.manifest.parts]
        empty = [schema.empty_table().drop_columns("embedding") for schema in schemas]
        columns = join_rows(empty) if empty else _no_rows()  # of all parts, in their order and types
        for part, schema in zip(self.manifest.parts, schemas, strict=True):
            for batch in self.snapshot.batches(part, _all_but_embedding(schema), _BATCH_ROWS):
                yield join_rows([columns, pa.Table.from_batches([batch])])

    def with_labels(self, labels: Strings, *, labels_from: dict[str, str]) -> Self:
        """Return a view of the table with other labels; the stored ones do not change.

        Args:
            labels: One text per row [N], None where unknown.
            labels_from: The value of `labels_from`.

        Raises:
            ValueError: There are more or fewer labels than rows.
        """
        if len(labels) != len(self):
            raise ValueError(f"{len(labels)} labels for {len(self)} rows")
        view, field = copy.copy(self), self.rows.schema.field("label")
        column = pa.array(labels, pa.string()).cast(field.type)
        view.rows = self.rows.set_column(self.rows.column_names.index("label"), field, column)
        view.labels_from = labels_from
        return view

    def with_label_lists(self, lists: pa.ChunkedArray, *, labels_from: dict[str, str]) -> Self:
        """Return a view of the table whose column `label` holds lists of texts; the stored labels do not change.

        Args:
            lists: One list per row [N], null where the labels are unknown.
            labels_from: The value of `labels_from`.
        """
        view = copy.copy(self)
        column = lists.cast(pa.list_(pa.string()))
        view.rows = self.rows.set_column(self.rows.column_names.index("label"), "label", column)
        view.labels_from = labels_from
        return view

    @property
    def has_label_lists(self) -> bool:
        """Whether its labels are lists, by `with_label_lists`."""
        return bool(pa.types.is_list(self.rows.schema.field("label").type))

    def split(self) -> Iterator[Self]:
        """Yield each part as a table; nothing is read, and it can be pickled."""
        for part in self.manifest.parts:
            yield type(self)(self.path, dataclasses.replace(self.manifest, parts=(part,)), snapshot=self.snapshot)

    @property
    def ids(self) -> Strings:
        """The ids, one per row."""
        return _strings(self.rows["id"])

    @property
    def labels(self) -> Strings:
        """The labels, one per row; None where unknown."""
        return _strings(self.rows["label"].cast(pa.string()))

    def embeddings(self) -> Floats:
        """Read all embeddings.

        Returns:
            float32 [N, D].

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        out = np.empty((len(self), self.spec.dim), np.float32)
        start = 0
        for part in self.manifest.parts:
            self._fill(out[start : start + part.rows], part)
            start += part.rows
        return out

    def batches(self, batch_size: int = _BATCH_ROWS) -> Iterator[tuple[Strings, Floats]]:
        """Read ids and embeddings in batches.

        Args:
            batch_size: The maximum number of rows in a batch; a batch never spans two parts.

        Yields:
            ids [n] and embeddings float32 [n, D].

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        for part in self.manifest.parts:
            for batch in self.snapshot.batches(part, ["id", "embedding"], batch_size):
                yield _strings(batch["id"]), to_embeddings(batch["embedding"])

    def vectors(self) -> Iterator[Floats]:
        """Read embeddings alone in batches, float32 [n, D].

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        for part in self.manifest.parts:
            for batch in self.snapshot.batches(part, ["embedding"], _BATCH_ROWS):
                yield to_embeddings(batch["embedding"])

    def part_vectors(self, number: int) -> Floats:
        """Read the embeddings of one part, float32 [n, D]; `manifest.parts` are numbered from 0.

        Raises:
            FeatureFileError: It is missing or broken.
        """
        part = self.manifest.parts[number]
        out = np.empty((part.rows, self.spec.dim), np.float32)
        self._fill(out, part)
        return out

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame: the columns of `rows`, then `embedding`, a float32 array [D] in each row.

        Raises:
            InputError: pandas is not installed.
        """
        return data_frames.to_pandas(self)

    def to_polars(self) -> Any:
        """Return a polars.DataFrame: the columns of `rows`, then `embedding`, an Array(Float32, D).

        Raises:
            InputError: Polars is not installed.
        """
        return data_frames.to_polars(self)

    def dataset(self) -> Any:
        """Return a pyarrow.dataset.Dataset over the files of the parts, for filters and scans that stay on disk.

        It has the stored columns and labels. Unlike this object it does not keep files that a later run replaces.
        """
        return data_frames.to_dataset(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Stream all columns, embeddings too, to a library that takes Arrow: pyarrow.table, Polars, DuckDB, pandas."""
        return data_frames.to_batches(self).__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return data_frames.to_html(self)

    def _slices(self) -> Iterator[pa.Table]:
        start = 0
        for part in self.manifest.parts:
            yield self.rows.slice(start, part.rows)
            start += part.rows

    def _fill(self, out: Floats, part: Part) -> None:
        start = 0
        for batch in self.snapshot.batches(part, ["embedding"], _BATCH_ROWS):
            out[start : start + len(batch)] = to_embeddings(batch["embedding"])
            start += len(batch)


def are_multilabel(lists: pa.ChunkedArray) -> bool:
    """Return whether lists are more than labels: some have several items, or none.

    >>> are_multilabel(pa.chunked_array([[["a"], None, ["b"]]])), are_multilabel(pa.chunked_array([[["a"], []]]))
    (False, True)
    """
    lengths = pc.min_max(pc.list_value_length(lists)).as_py()
    return lengths["max"] is not None and (lengths["min"], lengths["max"]) != (1, 1)


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column of a type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def open_features(path: str | TablePath) -> Features:
    """Open a stored table of features.

    Args:
        path: The folder that `frieze embed --out` made, also in a bucket: `s3://BUCKET/photos.features`.

    Returns:
        The table, with `.ids`, `.labels`, `.embeddings()`, `.batches()` and `.spec`.

    Raises:
        FeatureFileError: There is none, or it is broken.
    """
    return Features(to_table_path(path))


def _read_all_but_embedding(file: pq.ParquetFile) -> pa.Table:
    return file.read(_all_but_embedding(file.schema_arrow))


def _all_but_embedding(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name != "embedding"]


def _strings(column: Any) -> Strings:
    return np.array(column.to_pylist(), dtype=object)


def _no_rows() -> pa.Table:
    return pa.schema([("id", pa.string()), ("uri", pa.string()), ("label", pa.string())]).empty_table()

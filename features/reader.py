"""Reading a table of features: ids and embeddings, whole or in batches."""

import copy
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Floats, Strings
from features.buckets import to_parquet_source, to_table_path
from features.errors import FeatureFileError
from features.joining import join_rows
from features.manifest import PARTS, Manifest, Part, read_manifest
from features.parts import name_broken_part, read_part, read_schema
from features.plural import counted
from features.schema import to_embeddings
from features.spec import BackboneSpec

_BATCH_ROWS = 4096


class Features:
    """A stored table of images and their embeddings, read in the order of part number, then row.

    Attributes:
        path: The folder.
        manifest: What features.json says.
        labels_from: The `column`, or the `file` and its `column`, that the labels are from; None for the stored ones.
    """

    def __init__(self, path: Path, manifest: Manifest | None = None) -> None:
        self.path = path.absolute()  # pyarrow takes a relative `a:b` for a URL
        self.manifest = read_manifest(path) if manifest is None else manifest
        self.labels_from: dict[str, str] | None = None

    def __len__(self) -> int:
        return self.manifest.n_rows

    @property
    def spec(self) -> BackboneSpec:
        """The backbone behind the embeddings."""
        return self.manifest.spec

    @functools.cached_property
    def rows(self) -> pa.Table:
        """Every column but the embedding: our own, then the user's; one of several types is text."""
        tables = [self._read(part) for part in self.manifest.parts]
        return join_rows(tables) if tables else _no_rows()

    def row_tables(self) -> Iterator[pa.Table]:
        """Read `rows` part by part.

        Yields:
            Tables of one schema, that of `rows`.

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        if self.labels_from is not None:  # then all rows are in memory
            yield from self._slices()
            return
        schemas = [read_schema(self.path / PARTS / part.name) for part in self.manifest.parts]
        empty = [schema.empty_table().drop_columns("embedding") for schema in schemas]
        columns = join_rows(empty) if empty else _no_rows()  # of all parts, in their order and types
        for part in self.manifest.parts:
            yield join_rows([columns, self._read(part)])

    def with_labels(self, labels: Strings, *, labels_from: dict[str, str]) -> Self:
        """Give the same table under other labels; what is stored stays as it is.

        Args:
            labels: One text a row [N], None where unknown.
            labels_from: What `labels_from` is to say.

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

    def split(self) -> Iterator[Self]:
        """Give each part as a table of its own; nothing is read, and it can be pickled."""
        for part in self.manifest.parts:
            yield type(self)(self.path, dataclasses.replace(self.manifest, parts=(part,)))

    @property
    def ids(self) -> Strings:
        """The ids, one a row."""
        return _strings(self.rows["id"])

    @property
    def labels(self) -> Strings:
        """The labels, one a row; None where unknown."""
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
        """Read ids and embeddings piece by piece.

        Args:
            batch_size: Rows in a batch at most; a batch never spans two parts.

        Yields:
            ids [n] and embeddings float32 [n, D].

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        for part in self.manifest.parts:
            for batch in self._batches(part, ["id", "embedding"], batch_size):
                yield _strings(batch["id"]), to_embeddings(batch["embedding"])

    def vectors(self) -> Iterator[Floats]:
        """Read embeddings alone piece by piece, float32 [n, D].

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        for part in self.manifest.parts:
            for batch in self._batches(part, ["embedding"], _BATCH_ROWS):
                yield to_embeddings(batch["embedding"])

    def part_vectors(self, number: int) -> Floats:
        """Read the embeddings of one part, float32 [n, D]; `manifest.parts` are numbered from 0 on.

        Raises:
            FeatureFileError: It is missing or broken.
        """
        part = self.manifest.parts[number]
        out = np.empty((part.rows, self.spec.dim), np.float32)
        self._fill(out, part)
        return out

    def _batches(self, part: Part, columns: list[str], batch_size: int) -> Iterator[Any]:
        path = self.path / PARTS / part.name
        with name_broken_part(path), pq.ParquetFile(to_parquet_source(path)) as file:
            self._check_rows(part, file.metadata.num_rows)
            yield from file.iter_batches(batch_size=batch_size, columns=columns)

    def _slices(self) -> Iterator[pa.Table]:
        start = 0
        for part in self.manifest.parts:
            yield self.rows.slice(start, part.rows)
            start += part.rows

    def _fill(self, out: Floats, part: Part) -> None:
        start = 0
        for batch in self._batches(part, ["embedding"], _BATCH_ROWS):
            out[start : start + len(batch)] = to_embeddings(batch["embedding"])
            start += len(batch)

    def _read(self, part: Part) -> pa.Table:
        path = self.path / PARTS / part.name
        table = read_part(path, leave_out=["embedding"])
        self._check_rows(part, len(table))
        return table

    def _check_rows(self, part: Part, rows: int) -> None:
        """Refuse a part that was rewritten since features.json was: by a run that was cut short, or is at it now."""
        if rows != part.rows:
            raise FeatureFileError(
                f"{self.path / PARTS / part.name} has {counted(rows, 'row')}, but features.json says {part.rows:,}.",
                mend=f"Let the run end, or finish it: {self.manifest.maker} {self.manifest.source} --out {self.path}",
            )


def open_features(path: str | Path) -> Features:
    """Open a stored table of features.

    Args:
        path: The folder that `frieze embed --out` made, also in a bucket: `s3://BUCKET/photos.features`.

    Returns:
        The table, with `.ids`, `.labels`, `.embeddings()`, `.batches()` and `.spec`.

    Raises:
        FeatureFileError: There is none, or it is broken.
    """
    return Features(to_table_path(path))


def _strings(column: Any) -> Strings:
    return np.array(column.to_pylist(), dtype=object)


def _no_rows() -> pa.Table:
    return pa.schema([("id", pa.string()), ("uri", pa.string()), ("label", pa.string())]).empty_table()

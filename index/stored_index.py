"""An index in its folder: searching and browsing it."""

import functools
import itertools
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import (
    FeatureFileError,
    Floats,
    InputError,
    MismatchError,
    Rows,
    Strings,
    read_consistent,
    to_command_line,
    to_table_path,
)
from frieze.features import BackboneSpec, is_same_backbone, read_manifest
from frieze.indexing.faiss_layer.metrics import check_lengths, square_lengths
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.vectors import load
from frieze.indexing.filters.parse import find_rows
from frieze.indexing.storage.generations import (
    CONTRACT,
    FAISS_NAME,
    INDEX_NAME,
    ROWS_NAME,
    VECTORS_NAME,
    check_files,
    check_hashes,
    read_document,
)
from frieze.indexing.storage.row_metadata import RowMetadata, to_shown

_N_FILTERS = 8  # whose rows are remembered: a filter is often asked with one query after the other


class _Table(NamedTuple):
    """What is to be known of the table that an index is of."""

    generation: str
    is_same_backbone: bool


class Index:
    """A stored index; use `open_index`.

    It goes on with what it opened when a newer generation takes its place.

    Attributes:
        path: The folder.
        document: What index.json says.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document
        folder = path / document["generation"]
        hint = f"Make it anew: {self._command} --force"
        if document["contract"] < CONTRACT:
            raise FeatureFileError(f"{path} was made by an older version of frieze.", hint=f"Type: {self._command}")
        check_files(folder, document["files"], hint=hint)
        self._rows = RowMetadata(folder / ROWS_NAME, hint=hint)
        self._searcher = open_searcher(document, folder, hint=hint)
        self._seen_table: tuple[tuple[int, int], _Table] | None = None
        self._passing = functools.lru_cache(_N_FILTERS)(
            lambda where: RowFilter(find_rows(self._rows, where), len(self))
        )
        counts = {len(self), len(self._rows), *self._searcher.counts}
        if len(counts) > 1:
            raise FeatureFileError(f"The files of {folder} count different rows: {sorted(counts)}.", hint=hint)

    def __len__(self) -> int:
        return int(self.document["rows"])

    @property
    def metric(self) -> str:
        """`cosine`, `dot` or `l2`."""
        return str(self.document["metric"])

    @property
    def n_zero(self) -> int | None:
        """How many stored vectors are all zeros; None where an earlier version did not count them."""
        return self.document.get("n_zero")

    @property
    def searcher(self) -> Searcher:
        """What asks FAISS; for this room's own modules."""
        return self._searcher

    @property
    def stored_rows(self) -> RowMetadata:
        """What is known about each row; for this room's own modules."""
        return self._rows

    @property
    def _command(self) -> str:
        asked = {name: value for name, value in self.document["request"].items() if value is not None}
        places = shlex.quote(self.document["features"]["path"]), shlex.quote(str(self.path))
        return f"frieze index {places[0]} --out {places[1]} {to_command_line(asked)}"

    @functools.cached_property
    def spec(self) -> BackboneSpec:
        """The backbone behind the embeddings."""
        return BackboneSpec.from_json(self.document["features"]["backbone"])

    @functools.cached_property
    def ids(self) -> Strings:
        """The ids, one a row, in the order of the table."""
        return np.array(self._rows.ids.to_pylist(), dtype=object)

    def staleness(self) -> str | None:
        """Say that the table has changed since, and what to type; None where it has not, or can't be read."""
        made_of = self.document["features"]
        try:
            table = self._table_now(to_table_path(made_of["path"]))
        except (FeatureFileError, OSError):
            return None
        if table.generation == made_of["generation"]:
            return None
        if table.is_same_backbone:
            return f"{self.path} was made from an older state of its table. Bring it up to date with: {self._command}"
        return (
            f"{self.path} was made from another table, of another backbone. Make it anew with: {self._command} --force"
        )

    def _table_now(self, table: Path) -> "_Table":
        """Look at a table; features.json, which grows with it, is read when it has changed."""
        status = (table / "features.json").stat()
        version = status.st_mtime_ns, status.st_size
        if self._seen_table is None or self._seen_table[0] != version:
            manifest = read_manifest(table)
            self._seen_table = version, _Table(manifest.generation, is_same_backbone(manifest.spec, self.spec))
        return self._seen_table[1]

    def check_hashes(self) -> None:
        """Hash every byte of the index's files; opening looks only at the ends of large ones.

        Raises:
            FeatureFileError: A file is not the one that was written.
        """
        folder = self.path / self.document["generation"]
        check_hashes(folder, self.document["files"], hint=f"Make it anew: {self._command} --force")

    def top_k(self, queries: Floats, k: int, where: str | None = None) -> tuple[Strings, Floats]:
        """Find the k nearest images for each query.

        Args:
            queries: float32 [Q, D].
            k: 1 <= k <= N.
            where: Find only images that pass this filter, such as `label = 'cat'`; see `search`.

        Returns:
            ids: object [Q, k], best first; fewer than k columns where fewer images pass the filter.
            scores: float32 [Q, k]; cosine in [-1, 1], the dot product, or the negative Euclidean distance.

        Raises:
            InputError: k is out of range, a query is not finite or too large, or the filter can't be used.
            MismatchError: The queries have another width than the index.
        """
        if not 1 <= k <= len(self):
            raise InputError(f"k is {k}, but the index has {len(self)} rows.", hint=f"Use 1 <= k <= {len(self)}.")
        rows, scores = self._nearest(queries, k, where)
        return self.ids[rows], scores

    def search(
        self, queries: Floats, *, k: int, where: str | None = None, min_score: float | None = None
    ) -> list[list[dict[str, Any]]]:
        """Find at most k nearest images for each query, with their columns.

        Args:
            queries: float32 [Q, D].
            k: How many at most, >= 1; where fewer images are there, or pass the filter, all of them are found.
            where: Find only images that pass this filter: a condition in SQL's words over `id`, `label` and the table's
                other columns, such as `label = 'cat' and year >= 2019`.
            min_score: Leave out hits below it.

        Returns:
            For each query its hits, best first, as plain JSON values: `id, score, label, uri`, then all other columns
            of the table, a user's own column named `score` as `source_score`.

        Raises:
            InputError: k is below 1, a query is not finite or too large, or the filter can't be used.
            MismatchError: The queries have another width than the index.
        """
        if k < 1:
            raise InputError(f"k is {k}.", hint="Use k >= 1.")
        rows, scores = self._nearest(queries, k, where)
        with np.errstate(over="ignore"):  # a least score that float32 can't hold is infinite
            kept = scores >= (-math.inf if min_score is None else min_score)  # [Q, k], true up to a point in each row
        found = zip(self._rows.take(rows[kept]), scores[kept].tolist(), strict=True)
        hits = iter(self._hit(known, score) for known, score in found)
        return [list(itertools.islice(hits, n_hits)) for n_hits in kept.sum(axis=1).tolist()]

    def _hit(self, known: dict[str, Any], score: float) -> dict[str, Any]:
        first = {"id": known["id"], "score": score, "label": known["label"], "uri": known["uri"]}
        return first | {self.renamed.get(name, name): value for name, value in known.items()}

    @property
    def renamed(self) -> dict[str, str]:
        """What columns of the user's own are called in a hit, where that is not their name."""
        return {name: shown for name, shown in self.renamed_in_tables.items() if name == "score"}

    @functools.cached_property
    def renamed_in_tables(self) -> dict[str, str]:
        """The same in a table of hits, which has columns `query` and `rank` beside `score`."""
        return {name: shown for name, shown in self._rows.names_in_hits.items() if name != shown}

    def known(self, ids: Sequence[str]) -> pa.Table:
        """Give what is known of stored images in the columns' own types, one row an id.

        A column of the user's own named `query`, `rank` or `score` has `source_` before its name.
        """
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=self._rows.ids)
        table = self._rows.take_table(np.asarray(rows).astype(np.int64))
        return table.rename_columns([self._rows.names_in_hits[name] for name in table.column_names])

    def _nearest(self, queries: Floats, k: int, where: str | None) -> tuple[Rows, Floats]:
        """Find k rows for each query, or as many as there are."""
        checked = self._checked(queries)
        row_filter = None if where is None else self._passing(where)
        if row_filter is not None and not len(row_filter):
            return np.empty((len(checked), 0), np.int64), np.empty((len(checked), 0), np.float32)
        return self._searcher.search(
            checked, k=min(k, len(self if row_filter is None else row_filter)), row_filter=row_filter
        )

    def embedding(self, id: str) -> Floats:  # noqa: A002  the stored name of an image is its id everywhere
        """Give the stored embedding of an image.

        Returns:
            float32 [D]; of unit length where the metric is cosine.

        Raises:
            InputError: No image has that id; the message names close ones.
        """
        row = self._rows.find(id)
        if row is None:
            raise InputError(f"No image in {self.path} has the id {to_shown(id)}.", hint=self._rows.suggest(id))
        stored: Floats = self._searcher.reconstruct(np.array([row]))[0]
        return stored

    def _checked(self, queries: npt.ArrayLike) -> Floats:
        with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite and is refused below
            ready = np.ascontiguousarray(queries, dtype=np.float32)
        if ready.ndim != 2:  # noqa: PLR2004  axes: queries, width
            raise ValueError(f"Queries are an array [Q, D], not of shape {ready.shape}.")
        if ready.shape[1] != self.spec.dim:
            raise MismatchError(
                f"The queries have width {ready.shape[1]}, the index {self.spec.dim}.",
                hint=width_hint(self.spec),
            )
        bad = ~np.isfinite(ready).all(axis=1)
        if bad.any():
            raise InputError(f"Query {bad.argmax()} holds a value that is not finite.", hint="Embed it anew.")
        squares, is_l2 = square_lengths(ready), self.metric == "l2"
        check_lengths(squares, lambda row: f"Query {row}", metric=self.metric, may_be_small=is_l2)
        return ready


def width_hint(spec: BackboneSpec) -> str:
    """Say how to make queries of the width of what is stored."""
    if spec.is_made_elsewhere:
        return f"Make the queries as the vectors of {spec.handle} were made: {spec.dim} numbers each."
    return f"Embed the queries with: frieze embed QUERIES --backbone {shlex.quote(spec.handle)}"


def open_searcher(document: dict[str, Any], folder: Path, *, hint: str) -> Searcher:
    """Open the FAISS files of a generation.

    Raises:
        FeatureFileError: One is missing or broken.
    """
    kind = document["index_kind"]
    searcher = Searcher(
        load(folder / VECTORS_NAME, hint=hint),
        None if kind == "exact" else load(folder / FAISS_NAME, hint=hint),
        kind=kind,
        metric=document["metric"],
        search_params=SearchParams.from_json(document["effort"], kind=kind),
    )
    if document.get("effort_at_100"):  # younger than the contract
        searcher.search_params_at_100 = SearchParams.from_json(document["effort_at_100"], kind=kind)
    return searcher


def open_index(path: str | Path) -> Index:
    """Open a stored index; its vectors are mapped, not read.

    Args:
        path: The folder that `frieze index --out` made.

    Raises:
        FeatureFileError: There is none, or it is broken.
    """
    path = Path(path).absolute()  # Arrow takes a relative path with a colon for a URL
    return read_consistent(path / INDEX_NAME, lambda: Index(path, read_document(path)))


_BLOCK_ROWS = 8192


def look_up(index: Index, id: str) -> dict[str, Any]:  # noqa: A002  the stored name of an image is its id everywhere
    """Give what is known of one image: its columns as plain JSON values.

    Raises:
        InputError: No image has that id.
    """
    row = index.stored_rows.find(id)
    if row is None:
        raise InputError(f"No image in {index.path} has the id {to_shown(id)}.", hint=index.stored_rows.suggest(id))
    return index.stored_rows.take(np.array([row]))[0]


def take_rows(index: Index, rows: Rows) -> list[dict[str, Any]]:
    """Give what is known of some rows, in the order asked for."""
    return index.stored_rows.take(rows)


def filter_rows(index: Index, where: str | None) -> Rows:
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


def column_types(index: Index) -> dict[str, str]:
    """Name what filters can ask for, each with its type."""
    return {field.name: str(field.type) for field in index.stored_rows.schema}


def read_vectors(index: Index, rows: Rows) -> Iterator[Floats]:
    """Give the stored embeddings of some rows, float32 [n, D] a block; of unit length where the metric is cosine."""
    for start in range(0, len(rows), _BLOCK_ROWS):
        yield index.searcher.reconstruct(rows[start : start + _BLOCK_ROWS])


def _labels(index: Index) -> pa.ChunkedArray:
    labels = index.stored_rows.read(["label"])["label"]
    return labels.cast(pa.string()) if pa.types.is_dictionary(labels.type) else labels

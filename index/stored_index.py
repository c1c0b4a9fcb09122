"""A stored index: open, search and browse it."""

import functools
import itertools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    TablePath,
    read_consistent,
)
from frieze.features import BackboneSpec
from frieze.indexing.faiss_layer.metrics import check_lengths, square_lengths
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.varied_hits import OF_ITSELF, HitOptions, Limit, choose_hits
from frieze.indexing.faiss_layer.vectors import load
from frieze.indexing.filters.limits import read_limit
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
from frieze.indexing.storage.row_metadata import RowMetadata, abbreviate_id
from frieze.indexing.storage.staleness import TableState, build_command, describe_staleness, read_table_state

_N_FILTERS = 8  # whose rows are cached: a filter is often used with one query after the other


class Index:
    """A stored index; use `open_index`.

    It keeps serving the generation that it opened when a newer one replaces it.

    Attributes:
        path: The folder.
        document: The content of index.json.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document
        folder = path / document["generation"]
        hint = f"Rebuild it: {self._command} --force"
        if document["contract"] < CONTRACT:
            raise FeatureFileError(f"{path} was made by an older version of frieze.", hint=f"Type: {self._command}")
        check_files(folder, document["files"], hint=hint)
        self._rows = RowMetadata(folder / ROWS_NAME, hint=hint)
        self._searcher = open_searcher(document, folder, hint=hint)
        self._seen_table: tuple[tuple[int, int], TableState] | None = None
        self._limit = functools.lru_cache(_N_FILTERS)(lambda per: Limit(*read_limit(self._rows, per)))
        self._passing = functools.lru_cache(_N_FILTERS)(
            lambda where: RowFilter(find_rows(self._rows, where), len(self))
        )
        counts = {len(self), len(self._rows), *self._searcher.counts}
        if len(counts) > 1:
            raise FeatureFileError(
                f"The files of {folder} have different numbers of rows: {sorted(counts)}.", hint=hint
            )

    def __len__(self) -> int:
        return int(self.document["rows"])

    def __repr__(self) -> str:
        kind, dim = self.document["index_kind"], self.document["dim"]
        return f"Index({len(self):,} x {dim:,}, {kind}, {self.metric}, {str(self.path)!r})"

    @property
    def metric(self) -> str:
        """`cosine`, `dot` or `l2`."""
        return str(self.document["metric"])

    @property
    def n_zero(self) -> int | None:
        """Number of stored vectors that are all zeros; None where an earlier version did not count them."""
        return self.document.get("n_zero")

    @property
    def searcher(self) -> Searcher:
        """The FAISS searcher; for modules of this package."""
        return self._searcher

    @property
    def row_metadata(self) -> RowMetadata:
        """The metadata of each row; for modules of this package."""
        return self._rows

    @property
    def _command(self) -> str:
        """The command that builds this index again."""
        return build_command(self.path, self.document)

    @functools.cached_property
    def spec(self) -> BackboneSpec:
        """The backbone that computed the embeddings."""
        return BackboneSpec.from_json(self.document["features"]["backbone"])

    @functools.cached_property
    def ids(self) -> Strings:
        """The ids, one a row, in the order of the table."""
        return np.array(self._rows.ids.to_pylist(), dtype=object)

    def staleness(self) -> str | None:
        """Return a note that the table has changed since, with the command; None where it has not, or can't be read."""
        return describe_staleness(self.path, self.document, self._read_table_state)

    def _read_table_state(self, table: TablePath, document: dict[str, Any]) -> TableState:
        """Read the state of a table; features.json, which grows with it, is parsed only when it has changed."""
        status = (table / "features.json").stat()
        version = status.st_mtime_ns, status.st_size
        if self._seen_table is None or self._seen_table[0] != version:
            self._seen_table = version, read_table_state(table, document)
        return self._seen_table[1]

    def check_hashes(self) -> None:
        """Hash every byte of the index's files; opening checks only the ends of large ones.

        Raises:
            FeatureFileError: A file is not the one that was written.
        """
        folder = self.path / self.document["generation"]
        check_hashes(folder, self.document["files"], hint=f"Rebuild it: {self._command} --force")

    def top_k(self, queries: Floats, k: int, where: str | None = None) -> tuple[Strings, Floats]:
        """Find the k nearest images for each query.

        Args:
            queries: float32 [Q, D].
            k: 1 <= k <= N.
            where: Return only images that pass this filter, such as `label = 'cat'`; see `search`.

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
        self,
        queries: Floats,
        *,
        k: int | None,
        where: str | None = None,
        min_score: float | None = None,
        per: str | None = None,
        diverse: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Find at most k nearest images for each query, with their columns.

        Args:
            queries: float32 [Q, D].
            k: Most hits per query, >= 1; where fewer images exist, or pass the filter, all of them are returned. None
                for all images of `min_score`: then every stored vector is compared, whatever the kind of the index.
            where: Return only images that pass this filter: an SQL condition over `id`, `label` and the table's other
                columns, such as `label = 'cat' and year >= 2019`.
            min_score: Leave out hits with a lower score.
            per: Return at most one image of a value of this column, or N of `COLUMN:N`; a missing value is one, too.
            diverse: Choose hits unlike each other, among the 10 k nearest (at least 100), by maximal marginal
                relevance: its lambda, 0 to 1. 1 keeps the order by score, 0 heeds variety alone.

        Returns:
            For each query its hits, best first (with `diverse` in the order of choice), as plain JSON values:
            `id, score, label, uri`, then all other columns of the table, a user's column named `score` as
            `source_score`.

        Raises:
            InputError: k is below 1, a query is not finite or too large, the filter, column or lambda can't be used, or
                the images of a minimum score are more than 100,000.
            MismatchError: The queries have another width than the index.
        """
        _check_options(k, min_score, diverse)
        limit = None if per is None else self._limit(per)
        checked, row_filter = self._check_queries(queries), None if where is None else self._passing(where)
        if not len(checked) or (row_filter is not None and not len(row_filter)):
            return [[] for _ in checked]
        if min_score is not None and self.metric == "cosine":
            min_score = min(min_score, OF_ITSELF["cosine"]) if min_score <= 1 else min_score
        chosen = choose_hits(self._searcher, checked, HitOptions(k, min_score, limit, diverse), row_filter)
        hits = iter(self.hits(*(np.concatenate(parts) for parts in zip(*chosen, strict=True))))
        return [list(itertools.islice(hits, len(of_query))) for of_query, _ in chosen]

    def hits(self, rows: Rows, scores: Floats) -> list[dict[str, Any]]:
        """Return rows [n] with their scores [n] as `search` does."""
        pairs = zip(self._rows.take(rows), scores.tolist(), strict=True)
        return [self._hit(metadata, score) for metadata, score in pairs]

    def _hit(self, metadata: dict[str, Any], score: float) -> dict[str, Any]:
        first = {"id": metadata["id"], "score": score, "label": metadata["label"], "uri": metadata["uri"]}
        return first | {self.renamed.get(name, name): value for name, value in metadata.items()}

    @property
    def renamed(self) -> dict[str, str]:
        """The names in a hit of user columns that are renamed there: name -> name in the hit."""
        return {name: shown for name, shown in self.renamed_in_tables.items() if name == "score"}

    @functools.cached_property
    def renamed_in_tables(self) -> dict[str, str]:
        """The same for a table of hits, which has columns `query` and `rank` beside `score`."""
        return {name: shown for name, shown in self._rows.names_in_hits.items() if name != shown}

    def metadata(self, ids: Sequence[str]) -> pa.Table:
        """Return the metadata of stored images as an Arrow table, one row per id.

        A user's column named `query`, `rank` or `score` gets the prefix `source_`.
        """
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=self._rows.ids)
        table = self._rows.take_table(np.asarray(rows).astype(np.int64))
        return table.rename_columns([self._rows.names_in_hits[name] for name in table.column_names])

    def _nearest(self, queries: Floats, k: int, where: str | None) -> tuple[Rows, Floats]:
        """Find k rows for each query, or as many as exist."""
        checked = self._check_queries(queries)
        row_filter = None if where is None else self._passing(where)
        if row_filter is not None and not len(row_filter):
            return np.empty((len(checked), 0), np.int64), np.empty((len(checked), 0), np.float32)
        return self._searcher.search(
            checked, k=min(k, len(self if row_filter is None else row_filter)), row_filter=row_filter
        )

    def embedding(self, id: str) -> Floats:  # noqa: A002  the stored name of an image is its id everywhere
        """Return the stored embedding of an image.

        Returns:
            float32 [D]; of unit length where the metric is cosine.

        Raises:
            InputError: No image has that id; the message names close ones.
        """
        row = self._rows.find(id)
        if row is None:
            raise InputError(f"No image in {self.path} has the id {abbreviate_id(id)}.", hint=self._rows.suggest(id))
        stored: Floats = self._searcher.reconstruct(np.array([row]))[0]
        return stored

    def _check_queries(self, queries: npt.ArrayLike) -> Floats:
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite and is refused below
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
            raise InputError(f"Query {bad.argmax()} holds a value that is not finite.", hint="Embed it again.")
        squares, is_l2 = square_lengths(ready), self.metric == "l2"
        check_lengths(squares, lambda row: f"Query {row}", metric=self.metric, may_be_small=is_l2)
        return ready


def _check_options(k: int | None, min_score: float | None, diverse: float | None) -> None:
    """Refuse options of a search that are out of range, or do not go together."""
    if k is None and (min_score is None or diverse is not None):
        raise InputError("The number of hits is not given.", hint="Give `k`, or without `diverse` a `min_score`.")
    if min_score is not None and math.isnan(min_score):
        raise InputError("`min_score` is no number.", hint="Use for example `min_score=0.8`.")
    if k is not None and k < 1:
        raise InputError(f"k is {k}.", hint="Use k >= 1.")
    if diverse is not None and not 0 <= diverse <= 1:
        raise InputError(f"`diverse` is {diverse}.", hint="Use a number from 0 (variety alone) to 1 (the plain order).")


def width_hint(spec: BackboneSpec) -> str:
    """Return a hint on how to compute queries of the stored width."""
    if spec.is_made_elsewhere:
        return f"Compute the queries as the vectors of {spec.handle} were computed: {spec.dim} numbers each."
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
    if document.get("effort_at_100"):  # newer than the contract
        searcher.search_params_at_100 = SearchParams.from_json(document["effort_at_100"], kind=kind)
    return searcher


def open_index(path: str | Path) -> Index:
    """Open a stored index; its vectors are memory-mapped.

    Args:
        path: The folder that `frieze index --out` wrote.

    Raises:
        FeatureFileError: There is no index, or it is broken.
    """
    path = Path(path).absolute()  # Arrow takes a relative path with a colon for a URL
    return read_consistent(path / INDEX_NAME, lambda: Index(path, read_document(path)))

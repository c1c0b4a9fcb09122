"""Search FAISS: an index of one kind and metric that returns rows and scores, higher is nearer."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError, Rows, count_cores
from frieze.indexing.faiss_layer.kinds import KINDS
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, nearest

_BLOCK_FLOATS = 1 << 24  # values of candidate rows held at once: 64 MB
_BLOCK_CANDIDATES = 1 << 20  # rows found at once, candidates for rescoring included
TUNED_K, MANY_K = 10, 100  # the numbers of hits for which search parameters are tuned
_MIN_K = TUNED_K + 1  # a ground-truth query also finds its own row; fewer hits are chosen from as many rows
_FEW_ROWS = 10_000  # passing rows that an exact search reads in a few milliseconds, whatever the kind
_NEIGHBOURS = 32  # rows that HNSW scores for each node that it expands, about


@contextlib.contextmanager
def all_cores(*, n_tasks: int | None = None) -> Iterator[None]:
    """Let FAISS use all cores of this process while the block runs, then restore its number of threads.

    Args:
        n_tasks: How many cores are useful. A second one slows a single query down, most of all on a machine that
            others use too: FAISS waits for it.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(count_cores(), n_tasks or count_cores()))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@dataclasses.dataclass(frozen=True)
class SearchParams:
    """The search effort of an index.

    Attributes:
        search_param: Value of the kind's `nprobe` or `efSearch`, >= 1; kinds without one ignore it.
        k_factor: How many times k candidates are rescored, >= 1; kinds that store whole embeddings ignore it.
    """

    search_param: int = 1
    k_factor: int = 1

    @classmethod
    def from_json(cls, document: dict[str, int], *, kind: str) -> "SearchParams":
        """Parse the result of `to_json`."""
        return cls(document.get(KINDS[kind].search_param, 1), document["k_factor"])

    def to_json(self, *, kind: str) -> dict[str, int]:
        """Return it as in index.json: the search parameter by FAISS's name."""
        named = {KINDS[kind].search_param: self.search_param} if KINDS[kind].search_param else {}
        return named | {"k_factor": self.k_factor}


class Searcher:
    """A FAISS index with its search parameters.

    Args:
        flat: FAISS's flat index of all embeddings, prepared for the metric.
        faiss_index: FAISS's index of the kind over the same rows; None for `exact`, which is the flat one.
        kind: A key of `KINDS`.
        metric: A key of `FAISS_METRICS`.
        search_params: Effort for up to 10 hits.
        vectors: All embeddings, where the flat index has only those that were fetched.

    Attributes:
        search_params: Effort for up to 10 hits.
        search_params_at_100: Effort for up to 100 hits, scaled up for more; None for the same as for 10.
        left_out: int64 [m], rows that a graph does not contain yet. They are never found, and efSearch is scaled down
            in proportion: at the full efSearch, a graph without 5 % of Gaussian vectors finds 0.4 % more than the
            whole one; scaled down it finds 0.0 to 0.4 % less.
    """

    search_params_at_100: SearchParams | None = None
    left_out: Rows = NO_ROWS

    def __init__(
        self,
        flat: Any,
        faiss_index: Any,
        *,
        kind: str,
        metric: str,
        search_params: SearchParams | None = None,
        vectors: Vectors | None = None,
    ) -> None:
        self.flat = flat
        self.faiss_index = faiss_index
        self.kind = kind
        self.metric = metric
        self.search_params = search_params or SearchParams()
        self._faiss_metric = FAISS_METRICS[metric]
        self._vectors = vectors
        self._fetch = None if vectors is None else vectors.fetch

    @classmethod
    def over(cls, vectors: Vectors, faiss_index: Any, *, kind: str, left_out: Rows = NO_ROWS) -> "Searcher":
        """Return a searcher of an index that is being built."""
        searcher = cls(vectors.flat_index, faiss_index, kind=kind, metric=vectors.metric, vectors=vectors)
        searcher.left_out = left_out
        return searcher

    @property
    def share(self) -> float:
        """Fraction of the rows that the FAISS index contains, in (0, 1]."""
        return 1.0 - len(self.left_out) / int(self.flat.ntotal)

    def add(self, rows: Rows, embeddings: Floats) -> None:
        """Add left-out rows [n] with their embeddings [n, D], prepared for the metric, to the FAISS index."""
        with all_cores():
            self.faiss_index.add_with_ids(embeddings, rows)
        self.left_out = np.setdiff1d(self.left_out, rows)

    def search_params_for(self, k: int) -> SearchParams:
        """Return the search parameters for k hits."""
        if k <= _MIN_K or self.search_params_at_100 is None:
            return self.search_params
        times = max(1.0, k / (MANY_K + 1))  # a ground-truth query asks for one more: its own row
        return dataclasses.replace(
            self.search_params_at_100, search_param=math.ceil(self.search_params_at_100.search_param * times)
        )

    @property
    def counts(self) -> list[int]:
        """Number of rows of each of its FAISS indexes."""
        return [one.ntotal for one in (self.flat, self.faiss_index) if one is not None]

    def search(self, queries: Floats, *, k: int, row_filter: RowFilter | None = None) -> tuple[Rows, Floats]:
        """Find k rows for each query.

        Args:
            queries: float32 [Q, D], finite.
            k: 1 <= k <= N, and at most the number of rows that pass the filter.
            row_filter: The rows that may be returned; all by default.

        Returns:
            rows: int64 [Q, k], best first; rows of equal score in ascending order.
            scores: float32 [Q, k].

        Raises:
            InputError: A score leaves the range of float32.
        """
        ready = self._faiss_metric.prepare(queries)
        rows, scores = np.empty((len(ready), k), np.int64), np.empty((len(ready), k), np.float32)
        step = max(1, _BLOCK_CANDIDATES // self._count_candidates(k))
        row_filter = None if row_filter is None or len(row_filter) == self.flat.ntotal else row_filter
        with all_cores(n_tasks=len(ready)):
            for start in range(0, len(ready), step):
                block = slice(start, start + step)
                rows[block], scores[block] = self._search_block(ready[block], k, start, row_filter)
        return rows, scores

    def fetch(self, queries: Floats, *, k: int) -> None:
        """Load the rows that a search for these queries will rescore."""
        if self.faiss_index is not None:
            self._fetch_candidates(self._faiss_metric.prepare(queries), k, self.search_params_for(k).search_param)

    def _fetch_candidates(self, ready: Floats, k: int, search_param: int) -> None:
        if self._fetch is None:
            return
        n_candidates = max(1, min(self._count_candidates(k), self.faiss_index.ntotal))
        _, rows = self.faiss_index.search(ready, n_candidates, params=self._unrefined_params(search_param))
        self._fetch(rows)

    def _find_exactly(self, ready: Floats, k: int) -> tuple[Floats, Rows]:
        """Search all embeddings; read from disk those that the flat index lacks."""
        result: tuple[Floats, Rows]
        if self._vectors is None or (self._fetch is None and not len(self.left_out)):
            result = self.flat.search(ready, k)
            return result
        rows, scores = nearest(self._vectors, ready, k=k, left_out=self.left_out)
        if self._fetch is not None:
            self._fetch(rows)
        return scores, rows

    def _count_candidates(self, k: int) -> int:
        """Count the candidates that are rescored for k hits."""
        return max(k, _MIN_K) * self.search_params_for(k).k_factor

    def reconstruct(self, rows: Rows) -> Floats:
        """Return the embeddings float32 [n, D] of rows [n] as stored (of unit length for cosine)."""
        vectors: Floats = self.flat.reconstruct_batch(rows)
        return vectors

    def _search_block(self, ready: Floats, k: int, start: int, row_filter: RowFilter | None) -> tuple[Rows, Floats]:
        numbers, rows = self._find(ready, k, row_filter)
        _check_in_range(rows >= 0, start)
        scores = self._rescore(ready, rows) if self._faiss_metric.is_rough else self._faiss_metric.to_scores(numbers)
        _check_in_range(np.isfinite(scores), start)
        order = np.lexsort((rows, -scores))  # along the last axis
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _find(self, ready: Floats, k: int, row_filter: RowFilter | None) -> tuple[Floats, Rows]:
        result: tuple[Floats, Rows]
        if row_filter is not None:
            return self._find_filtered(ready, k, row_filter)
        if self.faiss_index is None:
            result = self.flat.search(ready, k)
            return result
        search_param = self.search_params_for(k).search_param
        numbers, rows = result = self._refined_index.search(ready, k, params=self._faiss_params(k, search_param))
        # FAISS pads with -1 where it has scored fewer than k rows: these queries search wider, at last exactly.
        short = _incomplete(rows)
        while len(short) and self._count_scanned(search_param := 2 * search_param) < self.flat.ntotal:
            self._fetch_candidates(ready[short], k, search_param)
            params = self._faiss_params(k, search_param)
            numbers[short], rows[short] = self._refined_index.search(ready[short], k, params=params)
            short = short[_incomplete(rows[short])]
        if len(short):
            numbers[short], rows[short] = self._find_exactly(ready[short], k)
        return result

    def _find_filtered(self, ready: Floats, k: int, row_filter: RowFilter) -> tuple[Floats, Rows]:
        """Double the search parameter as long as that finds other rows: rows that pass can lie far from a query.

        The first round scores about as many passing rows as a search without a filter scores. Where rows pass at
        random, one more round is enough. A query far from the rows that pass needs more, and is at last searched
        exactly among them.
        """
        numbers, rows = np.empty((len(ready), k), np.float32), np.full((len(ready), k), -1)
        # HNSW keeps at least as many rows as are requested, however small efSearch is.
        minimum = self._count_candidates(k) if KINDS[self.kind].is_graph else 1
        pending, search_param = (
            np.arange(len(ready)),
            math.ceil(max(self.search_params_for(k).search_param, minimum) / row_filter.share),
        )
        while len(pending) and not self._is_short(row_filter, search_param):
            before, params = rows[pending], self._faiss_params(k, search_param, row_filter)
            numbers[pending], rows[pending] = self._refined_index.search(ready[pending], k, params=params)
            pending = pending[((rows[pending] != before) | (before < 0)).any(axis=1)]
            search_param *= 2
        if len(pending):
            numbers[pending], rows[pending] = row_filter.search(self.flat, ready[pending], k)
        return numbers, rows

    def _is_short(self, row_filter: RowFilter, search_param: int) -> bool:
        """Return whether searching all passing rows exactly is faster."""
        return self.faiss_index is None or len(row_filter) <= max(_FEW_ROWS, self._count_scanned(search_param))

    def _count_scanned(self, search_param: int) -> float:
        """Estimate how many rows the FAISS index scores for one query."""
        import faiss

        lists = faiss.try_extract_index_ivf(self.faiss_index)
        n_rows = search_param * _NEIGHBOURS if lists is None else self.flat.ntotal * search_param / lists.nlist
        return float(min(n_rows, self.flat.ntotal))

    @functools.cached_property
    def _refined_index(self) -> Any:
        """FAISS's index, with a refinement by the flat one where it does not store whole embeddings."""
        import faiss

        if not KINDS[self.kind].is_refined:
            return self.faiss_index
        empty = faiss.IndexFlat(self.flat.d, self.flat.metric_type)
        refined = faiss.IndexRefine(empty, empty)  # it takes equal counts only, and the index may lack rows as yet
        refined.base_index, refined.refine_index, refined.ntotal = self.faiss_index, self.flat, self.flat.ntotal
        return refined

    def _faiss_params(self, k: int, search_param: int, row_filter: RowFilter | None = None) -> Any:
        """Build FAISS's search parameters for k rows, with a selector for a filter."""
        import faiss

        inner = self._unrefined_params(search_param, row_filter)
        if not KINDS[self.kind].is_refined:
            return inner
        k_factor = self._count_candidates(k) / k  # FAISS's stubs know no fields of these classes
        return faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=inner)  # type: ignore[call-arg]

    def _unrefined_params(self, search_param: int, row_filter: RowFilter | None = None) -> Any:
        """Build FAISS's search parameters without the refinement."""
        import faiss

        kind = KINDS[self.kind]
        name = "SearchParametersHNSW" if kind.is_graph else "SearchParametersIVF"
        selector = {} if row_filter is None else {"sel": row_filter.selector}
        inner = getattr(faiss, name)(**{kind.search_param: max(1, math.floor(search_param * self.share))}, **selector)
        if kind.uses_pca:
            inner = faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]  # as above
        return inner

    def _rescore(self, ready: Floats, rows: Rows) -> Floats:
        scores = np.empty(rows.shape, np.float32)
        step = max(1, _BLOCK_FLOATS // (rows.shape[1] * self.flat.d))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            vectors = self.reconstruct(block.ravel()).reshape(*block.shape, -1)  # [q, k, D]
            scores[start : start + step] = -np.linalg.norm(vectors - ready[start : start + step, None], axis=2)
        return scores


def _check_in_range(is_valid: npt.NDArray[np.bool_], start: int) -> None:
    """Refuse a block of hits [Q, k] with a score beyond float32; embeddings that are stored today have none."""
    if not is_valid.all():
        raise InputError(
            f"Query {start + (~is_valid).any(axis=1).argmax()} is too large, or a stored embedding is: scores leave the"
            " range of float32.",
            hint="Scale the queries as the stored embeddings are scaled, or index these again: frieze"
            " index FEATURES --out INDEX --metric cosine --force",
        )


def _incomplete(rows: Rows) -> Rows:
    """Return the numbers of the queries with fewer hits than requested."""
    return np.flatnonzero((rows < 0).any(axis=1))


def save(faiss_index: Any, path: Path) -> None:
    """Write the FAISS file.

    Raises:
        OSError: The disk is full or the write fails.
    """
    import faiss

    # Through our own file: given a path, FAISS does not notice a disk that is full at the last bytes.
    with path.open("wb") as file:
        writer = faiss.PyCallbackIOWriter(file.write)  # type: ignore[attr-defined]  # left out of FAISS's stubs
        faiss.write_index(faiss_index, writer)

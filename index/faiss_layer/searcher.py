"""FAISS in our terms: an index of one kind and metric that gives rows and scores, higher is nearer."""

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
from frieze.indexing.faiss_layer.metrics import MEASURES
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, nearest

_BLOCK_FLOATS = 1 << 24  # values of found rows held at once: 64 MB
_BLOCK_FOUND = 1 << 20  # rows found at once, those to be scored anew included
TUNED_K, MANY = 10, 100  # for so many hits efforts are tuned
_LEAST_K = TUNED_K + 1  # a query of the probe finds its own row too; fewer hits are chosen from as many rows
_FEW = 10_000  # allowed rows that are gone through in a few milliseconds, whatever the kind
_LINKS = 32  # rows that HNSW looks at for each that it goes on from, about


@contextlib.contextmanager
def all_cores(*, n_tasks: int | None = None) -> Iterator[None]:
    """Let FAISS use the cores this process may use while the block runs, and give them back after it.

    Args:
        n_tasks: How many cores can be of use; a second one costs a single query more than it brings, most of all where
            others work on this machine too: FAISS waits for it.
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
    """How hard an index looks.

    Attributes:
        knob: Value of the kind's knob, >= 1; kinds without one ignore it.
        k_factor: How many times k rows are found and scored anew, >= 1; kinds that store whole embeddings ignore it.
    """

    knob: int = 1
    k_factor: int = 1

    @classmethod
    def from_json(cls, document: dict[str, int], *, kind: str) -> "SearchParams":
        """Read what `to_json` gave."""
        return cls(document.get(KINDS[kind].knob, 1), document["k_factor"])

    def to_json(self, *, kind: str) -> dict[str, int]:
        """Give it as index.json has it: the knob by the name that it has in a kind."""
        knob = {KINDS[kind].knob: self.knob} if KINDS[kind].knob else {}
        return knob | {"k_factor": self.k_factor}


class Searcher:
    """A FAISS index and how hard it looks.

    Args:
        flat: FAISS's flat index of all embeddings, as the metric wants them.
        codes: FAISS's index of the kind over the same rows; None for `exact`, which is the flat one.
        kind: A key of `KINDS`.
        metric: A key of `MEASURES`.
        effort: How hard it looks for up to 10 hits.
        vectors: All embeddings, where the flat index has only those that were fetched.

    Attributes:
        effort: How hard it looks for up to 10 hits.
        many: How hard for up to 100, and in proportion for more; None for as hard as for 10.
        left_out: int64 [m], rows that the codes of a graph lack as yet: they are never found, and it looks less hard,
            in proportion. As hard as with all rows, a graph without 5 % of Gaussian vectors finds 0.4 % more than the
            whole one; so it finds 0.0 to 0.4 % less.
    """

    many: SearchParams | None = None
    left_out: Rows = NO_ROWS

    def __init__(
        self,
        flat: Any,
        codes: Any,
        *,
        kind: str,
        metric: str,
        effort: SearchParams | None = None,
        vectors: Vectors | None = None,
    ) -> None:
        self.flat = flat
        self.codes = codes
        self.kind = kind
        self.metric = metric
        self.effort = effort or SearchParams()
        self._measure = MEASURES[metric]
        self._vectors = vectors
        self._fetch = None if vectors is None else vectors.fetch

    @classmethod
    def over(cls, vectors: Vectors, codes: Any, *, kind: str, left_out: Rows = NO_ROWS) -> "Searcher":
        """Give one that is being built."""
        searcher = cls(vectors.raw, codes, kind=kind, metric=vectors.metric, vectors=vectors)
        searcher.left_out = left_out
        return searcher

    @property
    def share(self) -> float:
        """Which part of the rows the codes have, in (0, 1]."""
        return 1.0 - len(self.left_out) / int(self.flat.ntotal)

    def add(self, rows: Rows, embeddings: Floats) -> None:
        """Put rows [n] with their embeddings [n, D], as the metric wants them, into the codes that lack them."""
        with all_cores():
            self.codes.add_with_ids(embeddings, rows)
        self.left_out = np.setdiff1d(self.left_out, rows)

    def effort_for(self, k: int) -> SearchParams:
        """Tell how hard it looks for k hits."""
        if k <= _LEAST_K or self.many is None:
            return self.effort
        times = max(1.0, k / (MANY + 1))  # as many as a query of the probe is asked for
        return dataclasses.replace(self.many, knob=math.ceil(self.many.knob * times))

    @property
    def counts(self) -> list[int]:
        """How many rows each of its FAISS indexes has."""
        return [one.ntotal for one in (self.flat, self.codes) if one is not None]

    def search(self, queries: Floats, *, k: int, among: RowFilter | None = None) -> tuple[Rows, Floats]:
        """Find k rows for each query.

        Args:
            queries: float32 [Q, D], finite.
            k: 1 <= k <= N, and at most as many as may be found.
            among: The rows that may be found; all by default.

        Returns:
            rows: int64 [Q, k], best first; of those found, rows of equal score in ascending order.
            scores: float32 [Q, k].

        Raises:
            InputError: A score leaves the range of float32.
        """
        ready = self._measure.prepare(queries)
        rows, scores = np.empty((len(ready), k), np.int64), np.empty((len(ready), k), np.float32)
        step = max(1, _BLOCK_FOUND // self._count_candidates(k))
        among = None if among is None or len(among) == self.flat.ntotal else among
        with all_cores(n_tasks=len(ready)):
            for start in range(0, len(ready), step):
                block = slice(start, start + step)
                rows[block], scores[block] = self._block(ready[block], k, start, among)
        return rows, scores

    def fetch(self, queries: Floats, *, k: int) -> None:
        """Have the rows in memory that a search for these queries will score anew."""
        if self.codes is not None:
            self._fetch_candidates(self._measure.prepare(queries), k, self.effort_for(k).knob)

    def _fetch_candidates(self, ready: Floats, k: int, knob: int) -> None:
        if self._fetch is None:
            return
        n_wanted = max(1, min(self._count_candidates(k), self.codes.ntotal))
        _, rows = self.codes.search(ready, n_wanted, params=self._inner(knob))
        self._fetch(rows)

    def _find_in_all(self, ready: Floats, k: int) -> tuple[Floats, Rows]:
        """Go through all embeddings; of a flat index that lacks some, read them."""
        found: tuple[Floats, Rows]
        if self._vectors is None or (self._fetch is None and not len(self.left_out)):
            found = self.flat.search(ready, k)
            return found
        rows, scores = nearest(self._vectors, ready, k=k, left_out=self.left_out)
        if self._fetch is not None:
            self._fetch(rows)
        return scores, rows

    def _count_candidates(self, k: int) -> int:
        """Count the rows that are scored anew for k hits."""
        return max(k, _LEAST_K) * self.effort_for(k).k_factor

    def reconstruct(self, rows: Rows) -> Floats:
        """Give stored rows [n] as float32 [n, D], as the metric stores them (of unit length for cosine)."""
        vectors: Floats = self.flat.reconstruct_batch(rows)
        return vectors

    def _block(self, ready: Floats, k: int, start: int, among: RowFilter | None) -> tuple[Rows, Floats]:
        numbers, rows = self._find(ready, k, among)
        _check_is_found(rows >= 0, start)
        scores = self._rescore(ready, rows) if self._measure.is_rough else self._measure.to_scores(numbers)
        _check_is_found(np.isfinite(scores), start)
        order = np.lexsort((rows, -scores))  # along the last axis
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _find(self, ready: Floats, k: int, among: RowFilter | None) -> tuple[Floats, Rows]:
        found: tuple[Floats, Rows]
        if among is not None:
            return self._find_among(ready, k, among)
        if self.codes is None:
            found = self.flat.search(ready, k)
            return found
        knob = self.effort_for(k).knob
        numbers, rows = found = self._raw.search(ready, k, params=self._parameters(k, knob))
        # FAISS pads with -1 where it has looked at fewer than k rows: these queries look harder, and in the end at all.
        short = _which_lack(rows)
        while len(short) and self._count_met(knob := 2 * knob) < self.flat.ntotal:
            self._fetch_candidates(ready[short], k, knob)
            numbers[short], rows[short] = self._raw.search(ready[short], k, params=self._parameters(k, knob))
            short = short[_which_lack(rows[short])]
        if len(short):
            numbers[short], rows[short] = self._find_in_all(ready[short], k)
        return found

    def _find_among(self, ready: Floats, k: int, among: RowFilter) -> tuple[Floats, Rows]:
        """Look twice as hard for as long as that finds other rows: what may be found can lie far from a query.

        The first round looks at as many of these as there are to be looked at of all. Where rows pass by chance, it and
        a second one do; a query beside the regions that pass needs more, and in the end goes through all that pass.
        """
        numbers, rows = np.empty((len(ready), k), np.float32), np.full((len(ready), k), -1)
        # HNSW keeps at the least as many rows as it is asked for, however small its knob.
        least = self._count_candidates(k) if KINDS[self.kind].is_graph else 1
        pending, knob = np.arange(len(ready)), math.ceil(max(self.effort_for(k).knob, least) / among.share)
        while len(pending) and not self._is_short(among, knob):
            found, before = self._raw.search(ready[pending], k, params=self._parameters(k, knob, among)), rows[pending]
            numbers[pending], rows[pending] = found
            pending = pending[((rows[pending] != before) | (before < 0)).any(axis=1)]
            knob *= 2
        if len(pending):
            numbers[pending], rows[pending] = among.search(self.flat, ready[pending], k)
        return numbers, rows

    def _is_short(self, among: RowFilter, knob: int) -> bool:
        """Tell whether going through all rows that may be found is the shorter way."""
        return self.codes is None or len(among) <= max(_FEW, self._count_met(knob))

    def _count_met(self, knob: int) -> float:
        """Estimate at how many rows the kind looks for one query."""
        import faiss

        lists = faiss.try_extract_index_ivf(self.codes)
        met = knob * _LINKS if lists is None else self.flat.ntotal * knob / lists.nlist
        return float(min(met, self.flat.ntotal))

    @functools.cached_property
    def _raw(self) -> Any:
        """What is asked: the codes, and behind them the embeddings where these are not stored whole."""
        import faiss

        if not KINDS[self.kind].is_refined:
            return self.codes
        empty = faiss.IndexFlat(self.flat.d, self.flat.metric_type)
        raw = faiss.IndexRefine(empty, empty)  # it takes equal counts only, and the codes may lack rows as yet
        raw.base_index, raw.refine_index, raw.ntotal = self.codes, self.flat, self.flat.ntotal
        return raw

    def _parameters(self, k: int, knob: int, among: RowFilter | None = None) -> Any:
        """Say how hard to look for k rows and what may be found, in FAISS's words."""
        import faiss

        inner = self._inner(knob, among)
        if not KINDS[self.kind].is_refined:
            return inner
        k_factor = self._count_candidates(k) / k  # FAISS's stubs know no fields of these classes
        return faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=inner)  # type: ignore[call-arg]

    def _inner(self, knob: int, among: RowFilter | None = None) -> Any:
        """Say it for the codes alone."""
        import faiss

        kind = KINDS[self.kind]
        name = "SearchParametersHNSW" if kind.is_graph else "SearchParametersIVF"
        selector = {} if among is None else {"sel": among.selector}
        inner = getattr(faiss, name)(**{kind.knob: max(1, math.floor(knob * self.share))}, **selector)
        if kind.is_narrowed:
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


def _check_is_found(is_found: npt.NDArray[np.bool_], start: int) -> None:
    """Refuse a block of queries [Q, k] one of which has no true score; an index of today can't meet such."""
    if not is_found.all():
        raise InputError(
            f"Query {start + (~is_found).any(axis=1).argmax()} is too large, or what is stored is: scores leave the"
            " range of float32.",
            hint="Scale the queries as the stored embeddings are scaled, or index these with --metric cosine --force.",
        )


def _which_lack(rows: Rows) -> Rows:
    """Give the numbers of the queries that found too few."""
    return np.flatnonzero((rows < 0).any(axis=1))


def save(codes: Any, path: Path) -> None:
    """Write the FAISS file.

    Raises:
        OSError: The disk is full or refuses.
    """
    import faiss

    # Through a file of our own: given a path, FAISS leaves a full disk at the last bytes unnoticed.
    with path.open("wb") as file:
        writer = faiss.PyCallbackIOWriter(file.write)  # type: ignore[attr-defined]  # left out of FAISS's stubs
        faiss.write_index(codes, writer)

"""Measuring what an index finds, and how fast, on rows of its table as queries, each without its own row."""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator

import numpy as np

from frieze.core import Floats, Rows
from frieze.indexing.faiss_layer.searcher import MANY, TUNED_K, Searcher
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, draw_rows, find_equal, nearest

_N_QUERIES = 500
_SHARE = 5  # a table of fewer rows than five times as many gives a fifth of them
_GRAPH_SHARE, _GRAPH_LEAST = 20, 48
"""A graph is measured before a twentieth of its rows is in it, so that it is nearly the whole one; of a small one,
before some dozens are. A graph of fewer rows than these looks at all of them, whoever asks."""
_GRAPH_MOST = 10  # which part of the rows is not in it where others equal those that ask: a tenth
_N_MANY = 100  # queries for many hits
_N_AT_ONCE = 100  # so that what they find is not too much to fetch
_N_TIMED = 100
_TIMED_MS = 2_000.0
_RATED_S = 0.2
_TIE = 1e-6  # relative: two float32 roads to one score differ by as much
_TIE_OF_LENGTH = 1e-7  # of a query's length: a distance below it is lost in the rounding of the two vectors
_Z = 1.96  # standard errors on both sides of a mean that hold 95 of 100


@dataclasses.dataclass(frozen=True)
class Probe:
    """Rows of the table used as queries, and their exact answers among all other rows that an index holds.

    Most kinds hold the probe's rows as any others, so that they are measured at their full size, but have learnt
    nothing from them: principal components and codes that had seen the queries would find more than for a new one.
    A graph would find more by the links to and from a query's own row, or one that equals it, so it is measured before
    it has these.

    Attributes:
        rows: int64 [Q], the queries' own row numbers, ascending; a fifth of the table at most.
        queries: float32 [Q, D].
        answers: int64 [Q, k], the exact k nearest rows but for the query's own; k is less in a table of fewer rows.
        worst: float32 [Q], score of the last exact answer.
        rounding: float32 [Q], by how much a score may differ from `worst` and tie with it.
        left_out: int64 [m], rows that what is measured must not hold as yet: none, or `rows` and those that equal them.
    """

    rows: Rows
    queries: Floats
    answers: Rows
    worst: Floats
    rounding: Floats
    left_out: Rows = dataclasses.field(default_factory=lambda: NO_ROWS)

    @property
    def k(self) -> int:
        """How many answers each query has."""
        return int(self.answers.shape[1])


def make_probe(vectors: Vectors, *, k: int = TUNED_K) -> Probe:
    """Find the exact neighbours of up to 500 rows, a fifth of the table at most.

    Of drawn rows with one and the same vector one asks, and by the cosine or dot product none whose vector is all
    zeros, where there are others: any answer to these is right, and the mean would flatter.
    """
    rows = draw_rows(len(vectors), min(_N_QUERIES, max(1, len(vectors) // _SHARE)))
    queries = vectors.take(rows)
    telling = _tell_something(queries, vectors.metric)
    return _ask(vectors, rows[telling], queries[telling], k=k)


def hold_out(vectors: Vectors, probe: Probe) -> Probe:
    """Find the exact neighbours of some of a probe's rows among the rows that equal none of these: for a graph.

    Returns:
        A probe of a twentieth of the table or some dozens of rows, at most as many as are given. Where many rows equal
        these it has fewer queries; where most rows do, or in a table of fewer than some dozens, it is the one given.
    """
    if len(vectors) <= _GRAPH_LEAST:
        return probe
    asked = _thinned(len(probe.rows), max(_GRAPH_LEAST, len(vectors) // _GRAPH_SHARE))
    rows, queries = probe.rows[asked], probe.queries[asked]
    equal, to_which = find_equal(vectors, queries)
    kept = _with_few_equals(np.bincount(to_which), max(_GRAPH_LEAST, len(vectors) // _GRAPH_MOST))
    left_out = equal[np.isin(to_which, kept)]
    if 2 * len(left_out) > len(vectors):
        return probe
    return _ask(vectors, rows[kept], queries[kept], k=TUNED_K, left_out=left_out)


def _with_few_equals(counts: Rows, most: int) -> Rows:
    """Give the numbers of those of which fewest rows are equal, so many rows in all at the most, and one at the least.

    >>> _with_few_equals(np.array([1, 9, 1, 2]), 4).tolist()
    [0, 2, 3]
    """
    order = np.argsort(counts, kind="stable")
    n_kept = np.searchsorted(np.cumsum(counts[order]), most, side="right")
    kept: Rows = np.sort(order[: max(1, n_kept)])
    return kept


def _thinned(n: int, most: int) -> slice:
    """Tell which of n things to take where at most so many are wanted, evenly."""
    return slice(None, None, -(-n // most))


def _ask(vectors: Vectors, rows: Rows, queries: Floats, *, k: int, left_out: Rows = NO_ROWS) -> Probe:
    """Find the exact neighbours of rows [Q] but for some, or where all are there but for the query's own."""
    if len(left_out):
        answers, scores = nearest(vectors, queries, k=min(k, len(vectors) - len(left_out)), left_out=left_out)
    else:
        answers, scores = nearest(vectors, queries, k=min(k + 1, len(vectors)))
        answers, scores = _without_own(answers, scores, rows)
    worst = scores[:, -1] if answers.size else np.zeros(len(rows), np.float32)
    return Probe(rows, queries, answers, worst, _rounding(queries, worst, vectors.metric), left_out)


def _tell_something(queries: Floats, metric: str) -> Rows:
    """Give the numbers of the queries [Q, D] that differ, ascending; without zeros where these tie with everything."""
    _, at = np.unique(queries, axis=0, return_index=True)
    at = np.sort(at)
    told = at[queries[at].any(axis=1)] if metric != "l2" else at
    return told if len(told) else at


def _rounding(queries: Floats, worst: Floats, metric: str) -> Floats:
    """Tell by how much two computations of the scores `worst` [Q] may differ: float32 [Q]."""
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    if metric == "l2":
        wide = _TIE * np.abs(worst) + _TIE_OF_LENGTH * lengths
    else:  # a sum that nearly cancels has the error of its terms; the queries are rows: as long as others
        wide = _TIE * np.maximum(np.abs(worst), lengths * np.median(lengths))
    rounding: Floats = wide.astype(np.float32)
    return rounding


def probe_for_many(vectors: Vectors, probe: Probe) -> Probe:
    """Find the 100 exact neighbours of up to 100 of a probe's rows, among the same rows."""
    asked = _thinned(len(probe.rows), _N_MANY)
    return _ask(vectors, probe.rows[asked], probe.queries[asked], k=MANY, left_out=probe.left_out)


def _without_own(rows: Rows, scores: Floats, own: Rows) -> tuple[Rows, Floats]:
    """Leave each query's own row out of what was found for it, or the last one where its own was not found."""
    order = np.argsort(rows == own[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def measure_recall(searcher: Searcher, probe: Probe) -> Floats:
    """Tell which part of the exact answers an index finds that holds all rows but for those the probe has left out.

    A found row is right when it is an exact answer or its score is within rounding of the last one's. Ties are judged
    by the index's own scores, which are those of the whole embeddings.

    Returns:
        float32 [Q], in [0, 1]; 1 where there are no other rows to find.
    """
    if probe.k == 0:
        return np.ones(len(probe.rows), np.float32)
    is_in_it = not len(probe.left_out)  # it finds a query's own row too
    found, scores = map(np.vstack, zip(*_search(searcher, probe.queries, probe.k + is_in_it), strict=True))
    if is_in_it:
        found, scores = _without_own(found, scores, probe.rows)
    is_answer = (found[:, :, None] == probe.answers[:, None]).any(axis=2)
    is_tie = np.abs(scores - probe.worst[:, None]) <= probe.rounding[:, None]
    recalls: Floats = (is_answer | is_tie).mean(axis=1, dtype=np.float32)
    return recalls


def interval(recalls: Floats) -> tuple[float, float]:
    """Compute where the mean recall of other queries like these lies, by 95 %.

    Args:
        recalls: float32 [Q], in [0, 1].

    Source: Wilson's interval; queries count for more than one trial as far as their recalls vary less than of one
    trial each (Korn and Graubard 1998).

    >>> low, high = interval(np.ones(500, np.float32))
    >>> round(low, 3), round(high, 3)
    (0.992, 1.0)
    """
    mean, variance, n = float(recalls.mean(dtype=np.float64)), float(recalls.var(dtype=np.float64)), float(len(recalls))
    if variance > 0:
        n *= mean * (1 - mean) / variance
    middle = (mean + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(mean * (1 - mean) / n + (_Z / (2 * n)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _search(searcher: Searcher, queries: Floats, k: int) -> Iterator[tuple[Rows, Floats]]:
    for start in range(0, len(queries), _N_AT_ONCE):
        block = queries[start : start + _N_AT_ONCE]
        searcher.fetch(block, k=k)
        yield searcher.search(block, k=k)


def measure_rate(searcher: Searcher, probe: Probe) -> float:
    """Give the queries a second that an index answers, ten hits each, many at once: at its best of some rounds.

    Whatever else runs on the machine takes time from some rounds, and kinds are compared by this.
    """
    k = min(TUNED_K, searcher.flat.ntotal)
    searcher.fetch(probe.queries, k=k)
    best_s, begun = math.inf, time.perf_counter()
    while (start := time.perf_counter()) - begun < _RATED_S:
        searcher.search(probe.queries, k=k)
        best_s = min(best_s, time.perf_counter() - start)
    return len(probe.queries) / best_s


def measure_ms(searcher: Searcher, probe: Probe) -> float:
    """Time single queries, up to 100 of them and about two seconds; the median in milliseconds."""
    k, queries = min(TUNED_K, searcher.flat.ntotal), probe.queries[:_N_TIMED]
    searcher.fetch(queries, k=k)
    times_ms: list[float] = []
    for query in queries:
        times_ms.append(_time_ms(searcher, query[None], k))
        if sum(times_ms) > _TIMED_MS:
            break
    return statistics.median(times_ms)


def _time_ms(searcher: Searcher, query: Floats, k: int) -> float:
    begun = time.perf_counter()
    searcher.search(query, k=k)
    return (time.perf_counter() - begun) * 1e3

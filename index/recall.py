"""Measuring what an index finds, and how fast, on rows of its table that it does not hold yet."""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator

import numpy as np

from features import Floats, Rows, top_k
from index.searcher import Searcher
from index.vectors import Vectors, draw_rows, pieces_without

_N_QUERIES = 500
_N_AT_ONCE = 100  # so that what they find is not too much to fetch
_N_TIMED = 100
_TIMED_MS = 2_000.0
_RATED_S = 0.2
_K = 10
_TIE = 1e-6  # relative: two float32 roads to one score differ by as much


@dataclasses.dataclass(frozen=True)
class Probe:
    """Rows of the table used as queries, and their exact answers among all other rows.

    An index is measured before it gets the probe's rows: like any new query, they are none of those it was filled with.

    Attributes:
        rows: int64 [Q], the queries' own row numbers, ascending; at most half of the table.
        queries: float32 [Q, D].
        answers: int64 [Q, k], the exact k nearest rows outside the probe; k is 10, or less in a smaller table.
        worst: float32 [Q], score of the last exact answer.
    """

    rows: Rows
    queries: Floats
    answers: Rows
    worst: Floats


def make_probe(vectors: Vectors) -> Probe:
    """Draw up to 500 rows, half of the table at most, and find their exact neighbours among the others."""
    n_queries = min(_N_QUERIES, max(1, len(vectors) // 2))
    rows, queries = draw_rows(len(vectors), n_queries), vectors.draw(n_queries)
    found, scores = _exact(vectors, queries, rows, k=min(_K, len(vectors) - n_queries))
    return Probe(rows, queries, answers=found, worst=scores[:, -1] if found.size else np.zeros(len(rows), np.float32))


def _exact(vectors: Vectors, queries: Floats, left_out: Rows, *, k: int) -> tuple[Rows, Floats]:
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for new_rows, embeddings in pieces_without(vectors, left_out):
        found, new_scores = top_k(queries, embeddings, k=min(k, len(embeddings)), metric=vectors.metric)
        rows, scores = np.hstack([rows, new_rows[found]]), np.hstack([scores, new_scores])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, scores


def measure_recall(searcher: Searcher, probe: Probe) -> Floats:
    """Tell which part of the exact answers an index finds that does not hold the probe's rows.

    A found row is right when it is an exact answer or ties with the last one. Ties are judged by the index's own
    scores, which are those of the whole embeddings.

    Returns:
        float32 [Q], in [0, 1]; 1 where there are no other rows to find.
    """
    k = probe.answers.shape[1]
    if k == 0:
        return np.ones(len(probe.rows), np.float32)
    found, scores = map(np.vstack, zip(*_search(searcher, probe.queries, k), strict=True))
    is_answer = (found[:, :, None] == probe.answers[:, None]).any(axis=2)
    is_tie = np.abs(scores - probe.worst[:, None]) <= _TIE * np.maximum(1, np.abs(probe.worst))[:, None]
    recalls: Floats = (is_answer | is_tie).mean(axis=1, dtype=np.float32)
    return recalls


def _search(searcher: Searcher, queries: Floats, k: int) -> Iterator[tuple[Rows, Floats]]:
    for start in range(0, len(queries), _N_AT_ONCE):
        block = queries[start : start + _N_AT_ONCE]
        searcher.fetch(block, k=k)
        yield searcher.search(block, k=k)


def measure_rate(searcher: Searcher, probe: Probe) -> float:
    """Give the queries a second that an index answers, ten hits each, many at once: at its best of some rounds.

    Whatever else runs on the machine takes time from some rounds, and kinds are compared by this.
    """
    k = min(_K, searcher.flat.ntotal)
    searcher.fetch(probe.queries, k=k)
    best_s, begun = math.inf, time.perf_counter()
    while (start := time.perf_counter()) - begun < _RATED_S:
        searcher.search(probe.queries, k=k)
        best_s = min(best_s, time.perf_counter() - start)
    return len(probe.queries) / best_s


def measure_ms(searcher: Searcher, probe: Probe) -> float:
    """Time single queries, up to 100 of them and about two seconds; the median in milliseconds."""
    k, queries = min(_K, searcher.flat.ntotal), probe.queries[:_N_TIMED]
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

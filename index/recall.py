"""Measuring what an index finds, and how fast, on rows of its own table."""

import dataclasses
import math
import statistics
import time

import numpy as np

from features import Floats, Rows, top_k
from index.searcher import Searcher
from index.vectors import Vectors, draw_rows

_N_QUERIES = 500
_N_TIMED = 100
_TIMED_MS = 2_000.0
_RATED_S = 0.2
_K = 10
_TIE = 1e-6  # relative: two float32 roads to one score differ by as much


@dataclasses.dataclass(frozen=True)
class Probe:
    """Rows of the table used as queries, and their exact answers.

    Attributes:
        rows: int64 [Q], the queries' own row numbers.
        queries: float32 [Q, D].
        answers: int64 [Q, k], the exact k nearest other rows; k is 10, or less in a smaller table.
        worst: float32 [Q], score of the last exact answer.
    """

    rows: Rows
    queries: Floats
    answers: Rows
    worst: Floats


def make_probe(vectors: Vectors) -> Probe:
    """Draw up to 500 rows and find their exact neighbours; a row is not its own answer."""
    rows = draw_rows(len(vectors), _N_QUERIES)
    queries = vectors.draw(_N_QUERIES)
    k = min(_K, len(vectors) - 1)
    found, scores = _without_own(*_exact(vectors, queries, k=k + 1), rows)
    return Probe(rows, queries, answers=found, worst=scores[:, -1] if k else np.zeros(len(rows), np.float32))


def _exact(vectors: Vectors, queries: Floats, *, k: int) -> tuple[Rows, Floats]:
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start, embeddings in vectors.pieces():
        new_rows, new_scores = top_k(queries, embeddings, k=min(k, len(embeddings)), metric=vectors.metric)
        rows, scores = np.hstack([rows, new_rows + start]), np.hstack([scores, new_scores])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, scores


def _without_own(found: Rows, scores: Floats, own: Rows) -> tuple[Rows, Floats]:
    """Drop from k+1 found rows the query's own, by its number; where duplicates pushed it out, the last one."""
    is_own = found == own[:, None]
    is_own[~is_own.any(axis=1), -1] = True
    shape = (len(found), found.shape[1] - 1)
    return found[~is_own].reshape(shape), scores[~is_own].reshape(shape)


def measure_recall(searcher: Searcher, probe: Probe) -> Floats:
    """Tell which part of the exact answers an index finds.

    A found row is right when it is an exact answer or ties with the last one. Ties are judged by the index's own
    scores, which are those of the whole embeddings.

    Returns:
        float32 [Q], in [0, 1]; 1 where there are no other rows to find.
    """
    k = probe.answers.shape[1]
    if k == 0:
        return np.ones(len(probe.rows), np.float32)
    found, scores = _without_own(*searcher.search(probe.queries, k=k + 1), probe.rows)
    is_answer = (found[:, :, None] == probe.answers[:, None]).any(axis=2)
    is_tie = scores >= (probe.worst - _TIE * np.maximum(1, np.abs(probe.worst)))[:, None]
    recalls: Floats = (is_answer | is_tie).mean(axis=1, dtype=np.float32)
    return recalls


def measure_rate(searcher: Searcher, probe: Probe) -> float:
    """Give the queries a second that an index answers, ten hits each, many at once: at its best of some rounds.

    Whatever else runs on the machine takes time from some rounds, and kinds are compared by this.
    """
    k = min(_K, searcher.flat.ntotal)
    best_s, begun = math.inf, time.perf_counter()
    while (start := time.perf_counter()) - begun < _RATED_S:
        searcher.search(probe.queries, k=k)
        best_s = min(best_s, time.perf_counter() - start)
    return len(probe.queries) / best_s


def measure_ms(searcher: Searcher, probe: Probe) -> float:
    """Time single queries, up to 100 of them and about two seconds; the median in milliseconds."""
    k = min(_K, searcher.flat.ntotal)
    times_ms: list[float] = []
    for query in probe.queries[:_N_TIMED]:
        times_ms.append(_time_ms(searcher, query[None], k))
        if sum(times_ms) > _TIMED_MS:
            break
    return statistics.median(times_ms)


def _time_ms(searcher: Searcher, query: Floats, k: int) -> float:
    begun = time.perf_counter()
    searcher.search(query, k=k)
    return (time.perf_counter() - begun) * 1e3

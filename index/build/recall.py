"""Measure recall@k and speed of an index, with rows of its table as queries, each without its own row."""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator

import numpy as np

from frieze.core import Floats, Rows
from frieze.indexing.faiss_layer.searcher import MANY_K, TUNED_K, Searcher
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, draw_rows, find_equal, nearest

_N_QUERIES = 500
_QUERY_PART = 5  # at most a fifth of the table's rows are queries
_GRAPH_PART, _GRAPH_MIN = 20, 48
"""A graph is measured while it lacks a twentieth of its rows, so that it is nearly complete; a small one while it lacks
some dozens. A graph of fewer rows than these always scores all of them."""
_GRAPH_MAX_PART = 10  # at most a tenth of the rows is left out where others equal the queries
_N_QUERIES_AT_100 = 100
_N_AT_ONCE = 100  # queries whose candidates are fetched together
_N_TIMED = 100
_TIMED_MS = 2_000.0
_RATED_S = 0.2
_TIE = 1e-6  # relative: two ways to compute one score in float32 differ by as much
_TIE_OF_LENGTH = 1e-7  # of a query's length: a distance below it is lost in the rounding of the two vectors
_Z = 1.96  # standard errors on both sides of the mean in a 95 % interval


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """Rows of the table used as queries, and their exact nearest neighbours among all other rows of an index.

    Most kinds contain the queries' rows as any others, so that they are measured at full size, but are not trained on
    them: principal components and codes trained on the queries would find more than for new queries. A graph would
    find more through the links of a query's own row, or of an equal one, so it is measured before these are added.

    Attributes:
        rows: int64 [Q], the queries' own row numbers, ascending; a fifth of the table at most.
        queries: float32 [Q, D].
        neighbours: int64 [Q, k], the exact k nearest rows without the query's own; k is less in a table of fewer rows.
        worst: float32 [Q], score of the last exact answer.
        rounding: float32 [Q], by how much a score may differ from `worst` and tie with it.
        left_out: int64 [m], rows that the measured index must not contain yet: none, or `rows` and those equal to them.
    """

    rows: Rows
    queries: Floats
    neighbours: Rows
    worst: Floats
    rounding: Floats
    left_out: Rows = dataclasses.field(default_factory=lambda: NO_ROWS)

    @property
    def k(self) -> int:
        """Number of neighbours of each query."""
        return int(self.neighbours.shape[1])


def compute_ground_truth(vectors: Vectors, *, k: int = TUNED_K) -> GroundTruth:
    """Compute the exact neighbours of up to 500 rows, a fifth of the table at most.

    Of drawn rows with equal vectors only one is a query, and with cosine or dot product no zero vector, where there are
    others: any answer to these is right, and the mean recall would be too high.
    """
    rows = draw_rows(len(vectors), min(_N_QUERIES, max(1, len(vectors) // _QUERY_PART)))
    queries = vectors.take(rows)
    kept = _informative(queries, vectors.metric)
    return _find_neighbours(vectors, rows[kept], queries[kept], k=k)


def hold_out(vectors: Vectors, ground_truth: GroundTruth) -> GroundTruth:
    """Hold out some queries' rows, and all equal rows, and compute exact neighbours among the others: for a graph.

    Returns:
        Queries from a twentieth of the table or some dozens of rows, at most those given. Where many rows equal these
        there are fewer queries; where most rows do, or in a table of few rows, the ground truth is returned as it is.
    """
    if len(vectors) <= _GRAPH_MIN:
        return ground_truth
    chosen = _every_nth(len(ground_truth.rows), max(_GRAPH_MIN, len(vectors) // _GRAPH_PART))
    rows, queries = ground_truth.rows[chosen], ground_truth.queries[chosen]
    equal, query_numbers = find_equal(vectors, queries)
    kept = _with_few_equals(np.bincount(query_numbers), max(_GRAPH_MIN, len(vectors) // _GRAPH_MAX_PART))
    left_out = equal[np.isin(query_numbers, kept)]
    if 2 * len(left_out) > len(vectors):
        return ground_truth
    return _find_neighbours(vectors, rows[kept], queries[kept], k=TUNED_K, left_out=left_out)


def _with_few_equals(counts: Rows, max_rows: int) -> Rows:
    """Return the numbers of the queries with the fewest equal rows, at most so many rows in all, and at least one.

    >>> _with_few_equals(np.array([1, 9, 1, 2]), 4).tolist()
    [0, 2, 3]
    """
    order = np.argsort(counts, kind="stable")
    n_kept = np.searchsorted(np.cumsum(counts[order]), max_rows, side="right")
    kept: Rows = np.sort(order[: max(1, n_kept)])
    return kept


def _every_nth(n: int, n_max: int) -> slice:
    """Return the slice that takes at most `n_max` of n items, evenly."""
    return slice(None, None, -(-n // n_max))


def _find_neighbours(vectors: Vectors, rows: Rows, queries: Floats, *, k: int, left_out: Rows = NO_ROWS) -> GroundTruth:
    """Find the exact neighbours of rows [Q] without some; where none are left out, without the query's own row."""
    if len(left_out):
        neighbours, scores = nearest(vectors, queries, k=min(k, len(vectors) - len(left_out)), left_out=left_out)
    else:
        neighbours, scores = nearest(vectors, queries, k=min(k + 1, len(vectors)))
        neighbours, scores = _without_own_row(neighbours, scores, rows)
    worst = scores[:, -1] if neighbours.size else np.zeros(len(rows), np.float32)
    return GroundTruth(rows, queries, neighbours, worst, _rounding(queries, worst, vectors.metric), left_out)


def _informative(queries: Floats, metric: str) -> Rows:
    """Return the numbers of the distinct queries [Q, D], ascending; without zeros where these tie with everything."""
    _, at = np.unique(queries, axis=0, return_index=True)
    distinct = np.sort(at)
    kept = distinct[queries[distinct].any(axis=1)] if metric != "l2" else distinct
    return kept if len(kept) else distinct


def _rounding(queries: Floats, worst: Floats, metric: str) -> Floats:
    """Compute by how much two computations of the scores `worst` [Q] may differ: float32 [Q]."""
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    if metric == "l2":
        wide = _TIE * np.abs(worst) + _TIE_OF_LENGTH * lengths
    else:  # a sum that nearly cancels has the error of its terms; queries are rows, so their lengths are typical
        wide = _TIE * np.maximum(np.abs(worst), lengths * np.median(lengths))
    rounding: Floats = wide.astype(np.float32)
    return rounding


def ground_truth_at_100(vectors: Vectors, ground_truth: GroundTruth) -> GroundTruth:
    """Compute the 100 exact neighbours of up to 100 of the queries, among the same rows."""
    chosen = _every_nth(len(ground_truth.rows), _N_QUERIES_AT_100)
    rows, queries = ground_truth.rows[chosen], ground_truth.queries[chosen]
    return _find_neighbours(vectors, rows, queries, k=MANY_K, left_out=ground_truth.left_out)


def _without_own_row(rows: Rows, scores: Floats, query_rows: Rows) -> tuple[Rows, Floats]:
    """Remove each query's own row from its hits, or the last hit where its own row is not among them."""
    order = np.argsort(rows == query_rows[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def measure_recall(searcher: Searcher, ground_truth: GroundTruth) -> Floats:
    """Compute each query's recall: the fraction of its exact neighbours that an index finds.

    The index contains all rows but those that the ground truth leaves out. A hit is right when it is an exact answer or
    its score is within rounding of the last one's. Ties are judged by the index's own scores, which are those of the
    whole embeddings.

    Returns:
        float32 [Q], in [0, 1]; 1 where there are no other rows to find.
    """
    if ground_truth.k == 0:
        return np.ones(len(ground_truth.rows), np.float32)
    has_own_row = not len(ground_truth.left_out)  # then the index finds a query's own row too
    blocks = _search_blocks(searcher, ground_truth.queries, ground_truth.k + has_own_row)
    rows, scores = map(np.vstack, zip(*blocks, strict=True))
    if has_own_row:
        rows, scores = _without_own_row(rows, scores, ground_truth.rows)
    is_neighbour = (rows[:, :, None] == ground_truth.neighbours[:, None]).any(axis=2)
    is_tie = np.abs(scores - ground_truth.worst[:, None]) <= ground_truth.rounding[:, None]
    recalls: Floats = (is_neighbour | is_tie).mean(axis=1, dtype=np.float32)
    return recalls


def interval(recalls: Floats) -> tuple[float, float]:
    """Compute the 95 % confidence interval of the mean recall of other queries like these.

    Args:
        recalls: float32 [Q], in [0, 1].

    Source: Wilson's interval; a query counts for more than one trial where recalls vary less than single trials would
    (Korn and Graubard 1998).

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


def _search_blocks(searcher: Searcher, queries: Floats, k: int) -> Iterator[tuple[Rows, Floats]]:
    for start in range(0, len(queries), _N_AT_ONCE):
        block = queries[start : start + _N_AT_ONCE]
        searcher.fetch(block, k=k)
        yield searcher.search(block, k=k)


def measure_rate(searcher: Searcher, ground_truth: GroundTruth) -> float:
    """Measure the queries a second that an index answers, ten hits each, many at once: the best of several rounds.

    Other programs on the machine slow some rounds down, and kinds are compared by this rate.
    """
    k = min(TUNED_K, searcher.flat.ntotal)
    searcher.fetch(ground_truth.queries, k=k)
    best_s, begun = math.inf, time.perf_counter()
    while (start := time.perf_counter()) - begun < _RATED_S:
        searcher.search(ground_truth.queries, k=k)
        best_s = min(best_s, time.perf_counter() - start)
    return len(ground_truth.queries) / best_s


def measure_ms(searcher: Searcher, ground_truth: GroundTruth) -> float:
    """Time single queries, up to 100 and about two seconds; return the median in milliseconds."""
    k, queries = min(TUNED_K, searcher.flat.ntotal), ground_truth.queries[:_N_TIMED]
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

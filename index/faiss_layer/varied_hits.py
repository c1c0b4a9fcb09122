"""Choose the hits of a search: the best or all of a score, so many of a value of a column, unlike each other."""

import math
from typing import NamedTuple

import numpy as np

from frieze.core import Floats, Rows
from frieze.features import METRICS
from frieze.indexing.faiss_layer.range_search import range_search
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import NO_ROWS

POOL_TIMES, LEAST_POOL = 10, 100
"""Maximal marginal relevance chooses k hits among so many times k of the nearest, and at least so many."""
OF_ITSELF = {"cosine": 1 - 1e-6, "l2": -1e-6, "dot": math.inf}
"""Metric -> the score from which on a hit is the query itself, but for rounding; by dot product that can't be told."""
_FIRST_TIMES = 2  # times k rows that are searched for first


class HitOptions(NamedTuple):
    """Which hits of each query are chosen.

    Attributes:
        k: At most so many, >= 1; None for all of a minimum score.
        min_score: None for any score.
        limit: How many may have the same value; None for any number.
        relevance: The lambda of `diversify`; None for the order of the scores.
    """

    k: int | None
    min_score: float | None = None
    limit: "Limit | None" = None
    relevance: float | None = None


class Limit(NamedTuple):
    """How many hits may have the same value of a column.

    Attributes:
        codes: int64 [N], equal for rows of equal values.
        most: At most so many of each, >= 1.
    """

    codes: Rows
    most: int

    def keep(self, rows: Rows) -> Rows:
        """Return where rows [n], best first, are within the limit: int64 [m], ascending."""
        codes = self.codes[rows]
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0]) if len(rows) else NO_ROWS
        ranks = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
        return np.sort(order[ranks < self.most])

    def full(self, rows: Rows) -> Rows:
        """Return the codes of which hits, rows [n], has as many as it may."""
        codes, counts = np.unique(self.codes[rows], return_counts=True)
        return codes[counts >= self.most]


def choose_hits(
    searcher: Searcher, queries: Floats, options: HitOptions, row_filter: RowFilter | None = None
) -> list[tuple[Rows, Floats]]:
    """Choose the hits of each query.

    Args:
        searcher: The index.
        queries: float32 [Q, D], finite.
        options: Which ones; either `k` or `min_score` is not None.
        row_filter: The rows that may be returned, one or more; all by default.

    Returns:
        For each query rows int64 [m], best first, with `relevance` in the order in which they were chosen; and scores
        float32 [m].

    Raises:
        InputError: A score leaves the range of float32, or all of a minimum score are more than 100,000 hits.
    """
    k, limit, relevance = options.k, options.limit, options.relevance
    min_score = -math.inf if options.min_score is None else options.min_score
    if k is None:
        hits = range_search(searcher, queries, min_score, row_filter=row_filter)
        return hits if limit is None else [_take(of_query, limit.keep(of_query[0])) for of_query in hits]
    n_passing = searcher.flat.ntotal if row_filter is None else len(row_filter)
    n_rows = min(k if relevance is None else count_pool(k), n_passing)
    if limit is None:
        hits = list(zip(*searcher.search(queries, k=n_rows, row_filter=row_filter), strict=True))
    else:
        rows = np.arange(n_passing) if row_filter is None else row_filter.rows
        hits = search_limited(searcher, queries, k=n_rows, limit=limit, rows=rows, min_score=min_score)
    with np.errstate(over="ignore"):  # a minimum that float32 can't hold is infinite
        hits = [_take(of_query, np.flatnonzero(of_query[1] >= min_score)) for of_query in hits]
    if relevance is None:
        return hits
    return [_take(of_query, diversify(searcher, *of_query, k=k, relevance=relevance)) for of_query in hits]


def _take(hits: tuple[Rows, Floats], at: Rows) -> tuple[Rows, Floats]:
    return hits[0][at], hits[1][at]


def search_limited(
    searcher: Searcher, queries: Floats, *, k: int, limit: Limit, rows: Rows, min_score: float = -math.inf
) -> list[tuple[Rows, Floats]]:
    """Find the k nearest rows of each query of which at most so many have the same value.

    Rows of a value that has enough hits are left out of the search for more, so that k are found where so many exist.

    Args:
        searcher: The index.
        queries: float32 [Q, D], finite.
        k: At most so many hits of each query.
        limit: Of a value.
        rows: int64 [n], ascending, the rows that may be returned; n >= 1.
        min_score: Search for no more below this score.

    Returns:
        For each query rows int64 [m], best first, and scores float32 [m].
    """
    n_first = min(_FIRST_TIMES * k, len(rows))
    first = searcher.search(queries, k=n_first, row_filter=_row_filter(searcher, rows))
    results = []
    for query, *hits in zip(queries[:, None], *first, strict=True):
        of_query, n_searched, left = (hits[0], hits[1]), n_first, rows
        while True:
            seen, of_query = of_query[0], _take(of_query, limit.keep(of_query[0])[:k])
            is_done = len(of_query[0]) == k or (of_query[1] < min_score).any()
            left = left if is_done else _without(left, seen, limit.full(of_query[0]), limit)
            if is_done or not len(left):
                break
            n_searched = min(2 * n_searched, len(left))
            more = searcher.search(query, k=n_searched, row_filter=_row_filter(searcher, left))
            of_query = np.append(of_query[0], more[0]), np.append(of_query[1], more[1])
            of_query = _take(of_query, np.lexsort((of_query[0], -of_query[1])))  # the first may have missed near ones
        results.append(of_query)
    return results


def _without(rows: Rows, seen: Rows, full: Rows, limit: Limit) -> Rows:
    """Return the rows that were not seen and whose value does not have enough hits."""
    return rows[~np.isin(rows, seen) & ~np.isin(limit.codes[rows], full)]


def _row_filter(searcher: Searcher, rows: Rows) -> RowFilter | None:
    n_rows = int(searcher.flat.ntotal)
    return None if len(rows) == n_rows else RowFilter(rows, n_rows)


def diversify(searcher: Searcher, rows: Rows, scores: Floats, *, k: int, relevance: float) -> Rows:
    """Choose k hits that are near to the query and unlike each other, by maximal marginal relevance.

    One after the other, the hit is chosen that has the most of `relevance` times its score less `1 - relevance` times
    its highest score with a hit that is chosen already. Both scores are those of the index's metric. A hit that is the
    query itself does not count as chosen: all others would be as near to it as they are to the query.

    Args:
        searcher: The index.
        rows: int64 [n], the nearest rows of a query, best first.
        scores: float32 [n].
        k: How many to choose, at most.
        relevance: The paper's lambda, 0 to 1: 1 keeps the order, 0 heeds variety alone.

    Returns:
        Where the chosen ones are among the rows, int64 [min(k, n)], in the order in which they were chosen.

    Source: Carbonell & Goldstein 1998, The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries, section 2.
    """
    vectors = searcher.reconstruct(rows)
    score = METRICS["l2" if searcher.metric == "l2" else "dot"]  # of unit vectors the cosine is the dot product
    is_query = scores >= OF_ITSELF[searcher.metric]
    nearest = np.full(len(rows), -np.inf, np.float32)  # the highest score with a chosen one
    values = scores.astype(np.float64)
    chosen: list[int] = []
    while len(chosen) < min(k, len(rows)):
        chosen.append(int(np.argmax(values)))
        if not is_query[chosen[-1]]:
            nearest = np.maximum(nearest, score(vectors[chosen[-1:]], vectors)[0])
        values = relevance * scores.astype(np.float64) - (1 - relevance) * np.where(np.isfinite(nearest), nearest, 0)
        values[chosen] = -np.inf
    return np.array(chosen, np.int64)


def count_pool(k: int) -> int:
    """Count the nearest rows among which k are chosen by `diversify`.

    >>> count_pool(5), count_pool(100)
    (100, 1000)
    """
    return max(POOL_TIMES * k, LEAST_POOL)

"""All rows with a score of a minimum or more: every vector is compared, so that none is missed."""

from collections.abc import Iterator

import numpy as np

from frieze.core import Floats, InputError, Rows
from frieze.features import METRICS
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import NO_ROWS, count_block_rows

MOST_HITS = 100_000
"""Hits of all queries together that a search returns."""
_BLOCK_FLOATS = 1 << 24  # scores held at once: 64 MB
_SLACK = 1e-4  # of a distance, relative: it is computed again for rows that are that near to the minimum
_ROUNDING = 1e-6  # of a length: two ways to compute a small distance differ by less


def range_search(
    searcher: Searcher, queries: Floats, min_score: float, *, row_filter: RowFilter | None = None
) -> list[tuple[Rows, Floats]]:
    """Find all rows of a minimum score for each query; exact for every kind of index.

    Args:
        searcher: The index; its stored vectors are read.
        queries: float32 [Q, D], finite.
        min_score: The lowest score of a hit.
        row_filter: The rows that may be returned; all by default.

    Returns:
        For each query rows int64 [n], best first, rows of equal score in ascending order; and scores float32 [n].

    Raises:
        InputError: There are more than 100,000 hits.
    """
    ready = FAISS_METRICS[searcher.metric].prepare(queries)
    hits: list[list[tuple[Rows, Floats]]] = [[] for _ in ready]
    n_hits = 0
    for rows, vectors in _blocks(searcher, row_filter):
        step = max(1, _BLOCK_FLOATS // len(rows))
        for start in range(0, len(ready), step):
            for number, at, scores in _compare(ready[start : start + step], vectors, min_score, searcher.metric):
                n_hits += len(at)
                if n_hits <= MOST_HITS:
                    hits[start + number].append((rows[at], scores))
    if n_hits > MOST_HITS:
        raise InputError(
            f"{n_hits:,} hits have a score of {min_score:g} or more; a search returns {MOST_HITS:,} at most.",
            hint="Use a higher `min_score`, or ask for the best ones alone: `k=1000`.",
        )
    return [_sort(of_query) for of_query in hits]


def _blocks(searcher: Searcher, row_filter: RowFilter | None) -> Iterator[tuple[Rows, Floats]]:
    """Yield rows int64 [n] that may be returned, with their vectors float32 [n, D]."""
    step, n_rows = count_block_rows(searcher.flat.d), searcher.flat.ntotal
    for start in range(0, n_rows if row_filter is None else len(row_filter), step):
        rows = (
            np.arange(start, min(start + step, n_rows)) if row_filter is None else row_filter.rows[start : start + step]
        )
        yield rows, searcher.reconstruct(rows)


def _compare(queries: Floats, vectors: Floats, min_score: float, metric: str) -> Iterator[tuple[int, Rows, Floats]]:
    """Yield for each query with hits its number, where they are among the vectors, and their scores."""
    is_l2 = metric == "l2"
    if is_l2:
        slack = _SLACK * abs(min_score) + _ROUNDING * np.linalg.norm(queries, axis=1, keepdims=True)
        near = METRICS["l2"](queries, vectors) >= min_score - slack
    else:
        scores = queries @ vectors.T  # [Q, n]; unit vectors for cosine
        scores = np.clip(scores, -1, 1, out=scores) if metric == "cosine" else scores
        near = scores >= min_score
    for number in np.flatnonzero(near.any(axis=1)).tolist():
        at = np.flatnonzero(near[number])
        if not is_l2:
            yield number, at, scores[number, at]
            continue
        exact = -np.linalg.norm(vectors[at] - queries[number], axis=1)
        yield number, at[exact >= min_score], exact[exact >= min_score]


def _sort(parts: list[tuple[Rows, Floats]]) -> tuple[Rows, Floats]:
    rows = np.concatenate([NO_ROWS, *(rows for rows, _ in parts)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in parts)])
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]

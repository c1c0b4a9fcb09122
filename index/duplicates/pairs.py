"""Find every pair of near rows in bounded memory and join them into groups as they are found."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows
from frieze.features import METRICS
from frieze.indexing.duplicates.components import Components
from frieze.indexing.duplicates.threshold import Sample
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams

_BLOCK_ROWS = 1_024
NEAREST = (10, 80, 640)  # nearest rows to search for, as long as all of them are near; then all rows
_BLOCK_FLOATS = 1 << 22  # scores held at once where a row is compared with all: 16 MB
_TOLERANCE = 1e-6  # relative: two ways to compute one score in float32 differ by as much
_L2_SCALE = 0.1  # of a typical length: rounding leaves far less between equal vectors
_MIN_RECALL = 0.95  # of a sample's near pairs that one search has to find
_MIN_GAIN = 0.001  # recall that doubling the search parameters must gain to double them again

Collect = Callable[[Rows, Rows, Floats], None]
"""Rows int64 [n], their nearest rows int64 [n, k] and the scores float32 [n, k] -> None."""


@dataclasses.dataclass(frozen=True)
class PairThreshold:
    """When two rows count as a pair.

    Attributes:
        min_score: The lowest score of a pair.
        is_zero: bool [N]: rows whose vector is all zeros, which carry no information: they are in no pair.
        scale: The scale of rounding errors near a score of 0: see `measure_scale`.
    """

    min_score: float
    is_zero: npt.NDArray[np.bool_]
    scale: float = 1.0

    @property
    def floor(self) -> float:
        """The lowest score, less the rounding error of float32."""
        return self.min_score - _TOLERANCE * max(self.scale, abs(self.min_score))

    def are_pairs(self, hits: Rows, scores: Floats) -> npt.NDArray[np.bool_]:
        """Return which hits [n, k] with scores [n, k] are near to their query."""
        return (scores >= self.floor) & ~self.is_zero[hits]


def measure_scale(squares: npt.NDArray[np.float64], metric: str) -> float:
    """Compute the scale of a collection's scores, which determines rounding errors.

    Args:
        squares: Squared lengths of its vectors [n], n >= 1.
        metric: A key of `FAISS_METRICS`.
    """
    typical = float(np.median(squares))
    return {"cosine": 1.0, "dot": typical, "l2": _L2_SCALE * math.sqrt(typical)}[metric]


def join_near_pairs(
    searcher: Searcher,
    rows: Rows,
    components: Components,
    *,
    threshold: PairThreshold,
    progress: Callable[[int, int], None],
    collect: Collect | None = None,
) -> None:
    """Join rows with all near rows of the index.

    The index's search finds the candidates, more of them for a row whose candidates are all near. A row with more than
    640 near ones is compared with all: a photograph that exists a thousand times is found a thousand times.

    Args:
        searcher: The index.
        rows: int64 [n]: the rows to search for.
        components: Collects the pairs.
        threshold: When two rows are a pair.
        progress: Called with the number of rows done and in all.
        collect: Called with the ten nearest of each row.
    """
    for start in range(0, len(rows), _BLOCK_ROWS):
        progress(start, len(rows))
        pending = rows[start : start + _BLOCK_ROWS]
        for k in NEAREST:
            pending = _join_nearest(searcher, pending, components, threshold, k, collect) if len(pending) else pending
        _join_all(searcher, pending, components, threshold)
    progress(len(rows), len(rows))


def _join_nearest(
    searcher: Searcher, rows: Rows, components: Components, threshold: PairThreshold, k: int, collect: Collect | None
) -> Rows:
    """Join rows with the near ones of their k nearest; return the rows that may have more."""
    n_rows = searcher.flat.ntotal
    hits, scores = searcher.search(searcher.reconstruct(rows), k=min(k, n_rows))
    if collect is not None and k == NEAREST[0]:
        collect(rows, hits, scores)
    is_pair = threshold.are_pairs(hits, scores)
    components.join(np.repeat(rows, is_pair.sum(axis=1)), hits[is_pair])
    may_have_more: Rows = rows[(scores[:, -1] >= threshold.floor) & (k < n_rows)]
    return may_have_more


def _join_all(searcher: Searcher, rows: Rows, components: Components, threshold: PairThreshold) -> None:
    if not len(rows):
        return
    vectors = searcher.reconstruct(rows)
    score = METRICS["l2" if searcher.metric == "l2" else "dot"]  # of unit vectors the cosine is the dot product
    step = max(1, _BLOCK_FLOATS // len(rows))
    for start in range(0, searcher.flat.ntotal, step):
        others = np.arange(start, min(start + step, searcher.flat.ntotal))
        is_pair = threshold.are_pairs(others, score(vectors, searcher.reconstruct(others)))  # [n, step]
        at, other = np.nonzero(is_pair)
        components.join(rows[at], others[other])


def widen_search(searcher: Searcher, sample: Sample, threshold: PairThreshold) -> Searcher:
    """Return the index with search parameters that find 19 of 20 near pairs: its own are tuned for any neighbours.

    Returns:
        A new searcher of the same index; the given one keeps its search parameters.
    """
    n_compared = min(NEAREST[0], searcher.flat.ntotal)
    exact = sample.neighbours[:, :n_compared]
    is_pair = threshold.are_pairs(exact, sample.scores[:, :n_compared]) & (exact != sample.rows[:, None])
    rows = np.flatnonzero(is_pair.any(axis=1))
    widened = Searcher(
        searcher.flat,
        searcher.faiss_index,
        kind=searcher.kind,
        metric=searcher.metric,
        search_params=searcher.search_params,
    )
    before = -1.0
    while len(rows) and widened.faiss_index is not None:
        hits, _ = widened.search(sample.vectors[rows], k=n_compared)
        is_hit = (exact[rows, :, None] == hits[:, None]).any(axis=2)
        recall = float(is_hit[is_pair[rows]].mean())
        if recall >= _MIN_RECALL or recall < before + _MIN_GAIN:
            break
        widened.search_params, before = (
            SearchParams(2 * widened.search_params.search_param, 2 * widened.search_params.k_factor),
            recall,
        )
    return widened


def measure_group_recall(sample: Sample, labels: Rows, threshold: PairThreshold) -> float | None:
    """Measure the recall of pairs: the fraction of a sample's near pairs whose two rows are in one group.

    Returns:
        In [0, 1]; None where the sample has no near pair.
    """
    is_pair = threshold.are_pairs(sample.neighbours, sample.scores) & (sample.neighbours != sample.rows[:, None])
    joined = labels[sample.rows][:, None] == labels[sample.neighbours]
    return float(joined[is_pair].mean()) if is_pair.any() else None

"""Finding every pair of rows that are near enough, in bounded memory, and joining them as they are found."""

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
_NEAREST = (10, 80, 640)  # nearest rows looked at, as long as all of them are near; then all rows
_BLOCK_FLOATS = 1 << 22  # scores held at once where a row is compared with all: 16 MB
_TOLERANCE = 1e-6  # relative: two float32 roads to one score differ by as much
_OF_LENGTH = 0.1  # of a typical length: what rounding leaves of the distance between equal vectors is far below
_FOUND = 0.95  # of the near pairs of a sample that one search has to find
_STILL = 0.001  # what looking twice as hard has to find for it to go on


@dataclasses.dataclass(frozen=True)
class PairThreshold:
    """When two rows count as a pair.

    Attributes:
        min_score: The lowest score of a pair.
        is_zero: bool [N]: rows whose vector is all zeros, which tells nothing: they are in no pair.
        scale: What the rounding of a score near 0 is measured by: see `measure_scale`.
    """

    min_score: float
    is_zero: npt.NDArray[np.bool_]
    scale: float = 1.0

    @property
    def floor(self) -> float:
        """The lowest score, less what float32 loses."""
        return self.min_score - _TOLERANCE * max(self.scale, abs(self.min_score))

    def pairs(self, found: Rows, scores: Floats) -> npt.NDArray[np.bool_]:
        """Tell which found rows [n, k] with scores [n, k] are near to what found them."""
        return (scores >= self.floor) & ~self.is_zero[found]


def measure_scale(squares: npt.NDArray[np.float64], metric: str) -> float:
    """Tell how large the scores of a collection are by which rounding is measured.

    Args:
        squares: Squared lengths of its vectors [n], n >= 1.
        metric: A key of `FAISS_METRICS`.
    """
    typical = float(np.median(squares))
    return {"cosine": 1.0, "dot": typical, "l2": _OF_LENGTH * math.sqrt(typical)}[metric]


def join_near(
    searcher: Searcher,
    rows: Rows,
    components: Components,
    *,
    threshold: PairThreshold,
    progress: Callable[[int, int], None],
) -> None:
    """Join rows with all rows of the index that are near to them.

    The index's own search finds the candidates, ever more of them for a row that has only near ones. A row with more
    than 640 near ones is compared with all: a photograph that is there a thousand times is found a thousand times.

    Args:
        searcher: The index.
        rows: int64 [n]: those to ask with.
        components: Takes the pairs.
        threshold: What a pair is.
        progress: Takes how many rows are done and how many there are.
    """
    for start in range(0, len(rows), _BLOCK_ROWS):
        progress(start, len(rows))
        pending = rows[start : start + _BLOCK_ROWS]
        for k in _NEAREST:
            pending = _join_nearest(searcher, pending, components, threshold, k) if len(pending) else pending
        _join_all(searcher, pending, components, threshold)
    progress(len(rows), len(rows))


def _join_nearest(searcher: Searcher, rows: Rows, components: Components, threshold: PairThreshold, k: int) -> Rows:
    """Join rows with the near ones of their k nearest; give those that may have more."""
    n_rows = searcher.flat.ntotal
    found, scores = searcher.search(searcher.reconstruct(rows), k=min(k, n_rows))
    is_pair = threshold.pairs(found, scores)
    components.join(np.repeat(rows, is_pair.sum(axis=1)), found[is_pair])
    may_have_more: Rows = rows[(scores[:, -1] >= threshold.floor) & (k < n_rows)]
    return may_have_more


def _join_all(searcher: Searcher, rows: Rows, components: Components, threshold: PairThreshold) -> None:
    if not len(rows):
        return
    vectors = searcher.reconstruct(rows)
    measure = METRICS["l2" if searcher.metric == "l2" else "dot"]  # of unit vectors the cosine is the dot product
    step = max(1, _BLOCK_FLOATS // len(rows))
    for start in range(0, searcher.flat.ntotal, step):
        others = np.arange(start, min(start + step, searcher.flat.ntotal))
        is_pair = threshold.pairs(others, measure(vectors, searcher.reconstruct(others)))  # [n, step]
        at, other = np.nonzero(is_pair)
        components.join(rows[at], others[other])


def widen_search(searcher: Searcher, sample: Sample, threshold: PairThreshold) -> Searcher:
    """Let an index look as hard as it must to find 19 of 20 near pairs; it was tuned to find neighbours of all kinds.

    Returns:
        The same index, with an effort of its own.
    """
    n_compared = min(_NEAREST[0], searcher.flat.ntotal)
    exact = sample.found[:, :n_compared]
    wanted = threshold.pairs(exact, sample.scores[:, :n_compared]) & (exact != sample.rows[:, None])
    rows = np.flatnonzero(wanted.any(axis=1))
    widened = Searcher(
        searcher.flat,
        searcher.faiss_index,
        kind=searcher.kind,
        metric=searcher.metric,
        search_params=searcher.search_params,
    )
    before = -1.0
    while len(rows) and widened.faiss_index is not None:
        found, _ = widened.search(sample.vectors[rows], k=n_compared)
        is_found = (exact[rows, :, None] == found[:, None]).any(axis=2)
        share = float(is_found[wanted[rows]].mean())
        if share >= _FOUND or share < before + _STILL:
            break
        widened.search_params, before = (
            SearchParams(2 * widened.search_params.search_param, 2 * widened.search_params.k_factor),
            share,
        )
    return widened


def measure_found(sample: Sample, labels: Rows, threshold: PairThreshold) -> float | None:
    """Give the share of the near pairs of a sample whose two rows are in one group.

    Returns:
        In [0, 1]; None where the sample has no near pair.
    """
    is_pair = threshold.pairs(sample.found, sample.scores) & (sample.found != sample.rows[:, None])
    joined = labels[sample.rows][:, None] == labels[sample.found]
    return float(joined[is_pair].mean()) if is_pair.any() else None

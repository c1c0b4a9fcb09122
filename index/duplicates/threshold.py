"""Compute the score threshold of near-duplicates from the collection itself."""

import dataclasses
import math

import numpy as np

from frieze.core import Floats, Rows
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import draw_rows

_N_SAMPLED = 1_000
_PART = 0.25
"""Of the typical squared distance between two images: near is half the typical distance.

Chosen on edits of 120 photographs (of imagenette and flowers, none of them in neardup_ccby) among others: the fraction
at which 95 % of the pairs in groups are right with either network that was tried. Typical cosines are .33 with one and
.47 with the other; the fraction is the same.
"""
_CHANCE = 0.01  # unrelated images that an image may have within the threshold, at most
_RANK = 20  # neighbours from this rank on are no duplicates, in most collections
_LAST_RANK = 100  # or a quarter of all: beyond it the power law does not hold
_FEW_ROWS = 160  # in a smaller collection the two ranks are too close to fit a power law
_LEAST_PART = _PART / 10  # however crowded the collection is
_PRIOR_PAIRS = 50  # weight of the prior against the measured gap: it decides where there are few images
_PRIOR = 0.5  # half the squared distance between two images, of their squared length: a cosine of .5
_ROUNDING = 1e-3  # of the squared length


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some rows of an index and their exact nearest rows, themselves included.

    Attributes:
        n_rows: N, rows of the index.
        rows: int64 [n], ascending; none of them a zero vector.
        vectors: float32 [n, D], as stored for the metric.
        neighbours: int64 [n, k], best first; k is 101, or N in a smaller index.
        scores: float32 [n, k].
    """

    n_rows: int
    rows: Rows
    vectors: Floats
    neighbours: Rows
    scores: Floats


def draw_sample(searcher: Searcher, candidates: Rows) -> Sample:
    """Draw up to 1,000 rows, the same ones each time, and search the whole index for their nearest rows.

    Args:
        searcher: The index.
        candidates: int64 [n], ascending: the rows to draw from.
    """
    rows = candidates[draw_rows(len(candidates), _N_SAMPLED)]
    exact = Searcher(searcher.flat, None, kind="exact", metric=searcher.metric)
    vectors = searcher.reconstruct(rows)
    neighbours, scores = exact.search(vectors, k=min(_LAST_RANK + 1, searcher.flat.ntotal))
    return Sample(searcher.flat.ntotal, rows, vectors, neighbours, scores)


def choose_min_score(sample: Sample, *, metric: str, longest: float) -> float:
    """Compute the score from which two images of a collection count as near-duplicates.

    A score alone says little: unrelated photographs have a cosine of .33 with one backbone and of .82 with another. So
    the threshold is relative to the collection: at most a quarter of the typical squared distance between two images.
    In a crowded collection unrelated images are that near too. There the threshold is the distance within which an
    image is expected to have .01 unrelated ones: their number grows with a power of the distance, which is fitted to
    the 20th and the 100th nearest, for few of these are duplicates.

    Args:
        sample: Rows of the collection; n >= 1.
        metric: A key of `FAISS_METRICS`.
        longest: The largest squared length of a vector in the collection. With the dot product scores are compared
            with it, so that long vectors are not near to everything.

    Returns:
        A score, below that of a vector with itself by more than rounding.
    """
    length = float(np.square(sample.vectors, dtype=np.float64).sum(axis=1).mean())
    typical = _typical_gap(sample.vectors, length)
    near = min(_PART * typical, max(_crowded_gap(sample, metric, longest), _LEAST_PART * typical))
    near = max(near, _ROUNDING * length)
    return {"cosine": 1 - near, "dot": longest - near, "l2": -math.sqrt(2 * near)}[metric]


def widen_score(min_score: float, *, metric: str, longest: float, factor: float) -> float:
    """Return the score at so many times the squared distance of another score."""
    if metric == "l2":
        return min_score * math.sqrt(factor)
    highest = 1.0 if metric == "cosine" else longest
    return highest - factor * (highest - min_score)


def _typical_gap(vectors: Floats, length: float) -> float:
    """Estimate half the mean squared distance between two images: the variance, summed over the axes."""
    n_pairs = len(vectors) * (len(vectors) - 1) // 2
    prior = _PRIOR * length
    measured = float(vectors.var(axis=0, dtype=np.float64, ddof=1).sum()) if n_pairs else prior
    weight = n_pairs / (n_pairs + _PRIOR_PAIRS)
    return float(max(measured, _ROUNDING * prior) ** weight * prior ** (1 - weight))


def _crowded_gap(sample: Sample, metric: str, longest: float) -> float:
    """Estimate half the squared distance within which unrelated images are rare; inf in a small collection."""
    if sample.n_rows < _FEW_ROWS:
        return math.inf
    last = min(_LAST_RANK, sample.n_rows // 4)
    ranked = sample.scores[:, [_RANK, last]].astype(np.float64)
    gaps = np.square(ranked) / 2 if metric == "l2" else (1.0 if metric == "cosine" else longest) - ranked
    near, far = np.median(gaps, axis=0)
    if not 0 < near < far:
        return 0.0
    return float(near * (_CHANCE / _RANK) ** (np.log(far / near) / np.log(last / _RANK)))

"""How near the vectors of a collection lie: from which score on two images look alike, or may be copies."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Rows
from frieze.indexing.duplicates.pairs import PairThreshold, measure_scale
from frieze.indexing.duplicates.threshold import Sample, choose_min_score, draw_sample, widen_score
from frieze.indexing.faiss_layer.metrics import check_lengths, square_lengths
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.stored_index import Index

_BLOCK_FLOATS = 1 << 22
_WIDER = 2.5  # times the squared distance of look-alikes: crops and turned copies are that near


@dataclasses.dataclass(frozen=True)
class Nearness:
    """What is measured of all vectors of an index.

    Attributes:
        metric: Of the index.
        hashes: uint64 [N], equal only for equal vectors.
        lengths: float64 [N], squared.
        rows: int64 [n], ascending: the first row of each vector that is not all zeros.
        sample: Some of these and their nearest; None where all vectors are zeros.
        min_score: The score from which two images look alike, estimated from the sample.
        near_score: The lower score from which they may be copies: infinite without a sample.
    """

    metric: str
    hashes: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.float64]
    rows: Rows
    sample: Sample | None = None
    min_score: float = math.inf
    near_score: float = math.inf

    def threshold(self, min_score: float) -> PairThreshold:
        """Return when two rows are a pair that looks alike, for a lowest score."""
        return PairThreshold(min_score, self.lengths == 0, measure_scale(self.lengths[self.rows], self.metric))


def measure_nearness(index: Index) -> Nearness:
    """Read all vectors of an index once, and the nearest ones of a sample.

    Raises:
        InputError: A vector is too large or too small for the metric.
    """
    hashes, lengths = _hash_vectors(index.searcher)
    check_lengths(lengths, lambda row: f"The embedding of {index.ids[row]} in {index.path}", metric=index.metric)
    rows = _first_rows(hashes, np.flatnonzero(lengths > 0))
    if not len(rows):
        return Nearness(index.metric, hashes, lengths, rows)
    sample, longest = draw_sample(index.searcher, rows), float(lengths.max())
    min_score = choose_min_score(sample, metric=index.metric, longest=longest)
    near_score = widen_score(min_score, metric=index.metric, longest=longest, factor=_WIDER)
    return Nearness(index.metric, hashes, lengths, rows, sample, min_score, near_score)


def _first_rows(keys: npt.NDArray[Any], rows: Rows) -> Rows:
    """Return the first row of each key, ascending."""
    _, at = np.unique(keys[rows], return_index=True)
    return np.sort(rows[at])


def _hash_vectors(searcher: Searcher) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Compute a hash [N] of each vector, equal only for equal vectors, and its squared length [N]."""
    n_rows, dim = searcher.flat.ntotal, searcher.flat.d
    factors = np.random.default_rng(0).integers(1, 1 << 63, dim, dtype=np.uint64) | np.uint64(1)
    hashes, lengths = np.empty(n_rows, np.uint64), np.empty(n_rows, np.float64)
    step = max(1, _BLOCK_FLOATS // dim)
    for start in range(0, n_rows, step):
        vectors = searcher.reconstruct(np.arange(start, min(start + step, n_rows)))
        block = slice(start, start + len(vectors))
        # 64 bits, summed modulo 2**64: a collision among a million vectors happens once in 10 million collections.
        hashes[block] = _spread_bits(vectors.view(np.uint32)) @ factors
        lengths[block] = square_lengths(vectors)
    return hashes, lengths


def _spread_bits(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Spread 32 bits over 64, so that sums of products depend on each."""
    wide = bits.astype(np.uint64)
    return (wide ^ (wide << np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)

"""Pairs of images that may be copies: near by vector, or by perceptual hash in any of the eight orientations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows
from frieze.features import Hashes, orient_hashes

_NEAR_BITS = 12  # of 63 that differ, at most, for two hashes to make a pair by themselves
_ALIKE_BITS = 20  # for a pair that is among the nearest by vector
_MAX_EXHAUSTIVE = 100_000  # hashes up to which each is compared with all
_N_TABLES, _KEY_BITS, _N_FLIPS = 3, 21, 1  # of a larger collection: finds all that differ in five bits, most of more
_BLOCK = 1 << 15


class Candidates:
    """Collects pairs of rows.

    Args:
        hashes: uint64 [N, 2]: of each image the hash of the whole and of what lies inside its borders; 0 for none.
        representatives: int64 [N]: of each row the one of equal bytes that is compared.
        near_score: Score from which two vectors make a pair by themselves.
    """

    def __init__(self, hashes: Hashes, representatives: Rows, near_score: float) -> None:
        self._hashes = hashes
        self._representatives = representatives
        self.near_score = near_score
        self._pairs: list[Rows] = []
        self._near: list[npt.NDArray[np.bool_]] = []

    def add_neighbours(self, rows: Rows, hits: Rows, scores: Floats) -> None:
        """Add those of the nearest rows that are near, or whose hash is alike.

        Args:
            rows: int64 [n].
            hits: int64 [n, k], their nearest rows.
            scores: float32 [n, k].
        """
        first = self._representatives[np.repeat(rows, hits.shape[1])]
        second = self._representatives[hits.ravel()]
        usable = (first != second) & (hits.ravel() >= 0)
        first, second, score = first[usable], second[usable], scores.ravel()[usable]
        is_near = score >= self.near_score
        is_alike = is_near.copy()
        rest = np.flatnonzero(~is_near)
        is_alike[rest] = self._count_bits(first[rest], second[rest]) <= _ALIKE_BITS
        self._add(first[is_alike], second[is_alike], is_near[is_alike])

    def add_hashes(self) -> None:
        """Add the pairs whose hashes are nearly equal."""
        for first, second in _near_hashes(self._hashes, self._representatives):
            self._add(first, second, np.zeros(len(first), bool))

    def add_hashes_of(self, rows: Rows, others: Rows) -> None:
        """Add the pairs of rows int64 [n] with others int64 [m] whose hashes are nearly equal, comparing all."""
        hashes = self._hashes[others]
        for row in rows.tolist():
            least = np.full(len(others), 64, np.uint8)
            for one in np.unique(orient_hashes(self._hashes[row])):
                if one:
                    bits = np.where(hashes == 0, 64, np.bitwise_count(hashes ^ one)).min(axis=1)
                    least = np.minimum(least, bits)
            near = others[least <= _NEAR_BITS]
            self._add(np.full(len(near), row), near, np.zeros(len(near), bool))

    def pairs(self) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the pairs, int64 [n, 2], smaller row first, each once; and which of them are near by vector."""
        if not self._pairs:
            return np.empty((0, 2), np.int64), np.empty(0, bool)
        pairs, near = np.concatenate(self._pairs), np.concatenate(self._near)
        order = np.lexsort((~near, pairs[:, 1], pairs[:, 0]))
        pairs, near = pairs[order], near[order]
        is_first = np.ones(len(pairs), bool)
        is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        return pairs[is_first], near[is_first]

    def _add(self, first: Rows, second: Rows, is_near: npt.NDArray[np.bool_]) -> None:
        self._pairs.append(np.column_stack([np.minimum(first, second), np.maximum(first, second)]))
        self._near.append(is_near)

    def _count_bits(self, first: Rows, second: Rows) -> npt.NDArray[np.uint8]:
        """Return how many bits of two images' hashes differ, in the orientation and of the parts that differ least."""
        least = np.full(len(first), 64, np.uint8)
        for start in range(0, len(first), _BLOCK):
            block = slice(start, start + _BLOCK)
            for one in range(2):
                oriented = orient_hashes(self._hashes[first[block], one])
                for other in range(2):
                    hashes = self._hashes[second[block], other]
                    bits = np.bitwise_count(oriented ^ hashes).min(axis=0)
                    bits[(hashes == 0) | (oriented[0] == 0)] = 64
                    least[block] = np.minimum(least[block], bits)
        return least


def _near_hashes(hashes: Hashes, representatives: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of different rows whose hashes are equal or nearly so."""
    distinct_rows = np.unique(representatives)
    rows, values = np.repeat(distinct_rows, 2), hashes[distinct_rows].ravel()
    rows, values = rows[values != 0], values[values != 0]
    if not len(rows):
        return
    distinct, at, number = np.unique(values, return_index=True, return_inverse=True)
    yield _different(rows[at[number]], rows)
    for first, second in _search_hashes(distinct):
        yield _different(rows[at[first]], rows[at[second]])


def _different(first: Rows, second: Rows) -> tuple[Rows, Rows]:
    differs = first != second
    return first[differs], second[differs]


def _search_hashes(hashes: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of distinct hashes that are nearly equal in one of the eight orientations."""
    codes, step = _to_bytes(hashes), _BLOCK // 8
    finds_all = len(hashes) <= _MAX_EXHAUSTIVE
    hash_index = None if finds_all else _index_many(codes)
    for start in range(0, len(hashes), step):
        base = start if finds_all else 0  # what lies before the block has been found from there
        found_in = _index_all(codes[base:]) if hash_index is None else hash_index
        block = hashes[start : start + step]
        oriented = orient_hashes(block)
        limits, _, hits = found_in.range_search(_to_bytes(oriented.ravel()), _NEAR_BITS + 1)
        of_query = np.repeat(np.arange(oriented.size), np.diff(limits.astype(np.int64)))
        first, second = start + of_query % len(block), base + hits.astype(np.int64)
        ascending = first < second  # each pair of a block is found from both sides
        yield first[ascending], second[ascending]


def _index_all(codes: npt.NDArray[np.uint8]) -> Any:
    import faiss

    hash_index = faiss.IndexBinaryFlat(64)
    hash_index.add(codes)
    return hash_index


def _index_many(codes: npt.NDArray[np.uint8]) -> Any:
    import faiss

    hash_index = faiss.IndexBinaryMultiHash(64, _N_TABLES, _KEY_BITS)
    hash_index.nflip = _N_FLIPS
    hash_index.add(codes)
    return hash_index


def _to_bytes(hashes: Hashes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)

"""Embeddings as a metric wants them: all of a collection, or a few that are held in memory."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from features import Floats, Rows, top_k
from index.measures import MEASURES

_SEED = 0
_PIECE_ROWS, _PIECE_BYTES = 1 << 13, 1 << 24
"""Together with all that is computed of it, a piece takes a hundred megabytes."""


class Vectors(Protocol):
    """Embeddings as the metric wants them.

    Attributes:
        metric: A key of `MEASURES`.
        dim: D.
        raw: FAISS's flat index of them.
    """

    metric: str
    dim: int

    def __len__(self) -> int:
        """Count them: N >= 1."""

    @property
    def raw(self) -> Any:
        """FAISS's flat index of them."""

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        """Read them piece by piece: the first row's number, and float32 [n, D]."""

    def take(self, rows: Rows) -> Floats:
        """Give some, int64 [n], ascending; float32 [n, D]."""

    @property
    def fetch(self) -> Callable[[Rows], None] | None:
        """Puts rows, negative ones left out, into `raw`, where others read as zeros; None where all are there."""


class HeldVectors:
    """Embeddings in memory.

    Args:
        embeddings: float32 [N, D], N >= 1, as the metric wants them.
        metric: A key of `MEASURES`.
    """

    fetch = None  # all rows are in memory

    def __init__(self, embeddings: Floats, *, metric: str) -> None:
        self._embeddings = embeddings
        self.metric = metric
        self.dim = embeddings.shape[1]

    def __len__(self) -> int:
        return len(self._embeddings)

    @functools.cached_property
    def raw(self) -> Any:
        """FAISS's flat index of them."""
        import faiss

        flat = faiss.IndexFlat(self.dim, getattr(faiss, MEASURES[self.metric].faiss_name))
        flat.add(self._embeddings)
        return flat

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        """Give them piece by piece."""
        step = count_piece(self.dim)
        for start in range(0, len(self), step):
            yield start, self._embeddings[start : start + step]

    def take(self, rows: Rows) -> Floats:
        """Give some, int64 [n]; float32 [n, D]."""
        return self._embeddings[rows]


NO_ROWS: Rows = np.empty(0, np.int64)
NO_ROWS.flags.writeable = False


def pieces_without(vectors: Vectors, left_out: Rows) -> Iterator[tuple[Rows, Floats]]:
    """Read embeddings piece by piece, but for some rows, int64 [m]: rows, int64 [n], and float32 [n, D], n >= 1."""
    for start, embeddings in vectors.pieces():
        rows = np.arange(start, start + len(embeddings))
        others = np.setdiff1d(rows, left_out, assume_unique=True)
        if len(others):
            yield others, embeddings if len(others) == len(rows) else embeddings[others - start]


def nearest(vectors: Vectors, queries: Floats, *, k: int, left_out: Rows = NO_ROWS) -> tuple[Rows, Floats]:
    """Find the exact k nearest rows of each query [Q, D] but for some rows, with NumPy and piece by piece.

    Returns:
        rows: int64 [Q, k], best first; rows of equal score in ascending order.
        scores: float32 [Q, k].
    """
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for numbers, embeddings in pieces_without(vectors, left_out):
        found, new_scores = top_k(queries, embeddings, k=min(k, len(embeddings)), metric=vectors.metric)
        rows, scores = np.hstack([rows, numbers[found]]), np.hstack([scores, new_scores])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, scores


def find_equal(vectors: Vectors, queries: Floats) -> tuple[Rows, Rows]:
    """Find the rows that equal one of some different queries [Q, D] in every bit.

    Returns:
        rows: int64 [n], ascending.
        which: int64 [n], the query's number.
    """
    numbers = {query.tobytes(): number for number, query in enumerate(queries)}
    sums, rows, which = _sum_bits(queries), [NO_ROWS], [NO_ROWS]
    for start, embeddings in vectors.pieces():
        alike = np.flatnonzero(np.isin(_sum_bits(embeddings), sums))
        found = np.array([numbers.get(embeddings[row].tobytes(), -1) for row in alike], np.int64)
        rows.append(start + alike[found >= 0])
        which.append(found[found >= 0])
    return np.concatenate(rows), np.concatenate(which)


def _sum_bits(embeddings: Floats) -> npt.NDArray[np.uint64]:
    """Give a number of each row of float32 [n, D] that is the same for equal rows, and seldom for others."""
    sums: npt.NDArray[np.uint64] = np.ascontiguousarray(embeddings).view(np.uint32).sum(axis=1, dtype=np.uint64)
    return sums


def count_piece(dim: int) -> int:
    """Give how many embeddings of a width are read at once.

    >>> count_piece(128), count_piece(1024)
    (8192, 4096)
    """
    return max(1, min(_PIECE_ROWS, _PIECE_BYTES // (4 * dim)))


def draw_rows(n_rows: int, n_drawn: int) -> Rows:
    """Draw different rows evenly over the table, the same ones each time.

    Returns:
        int64 [min(n_drawn, n_rows)], ascending.

    >>> draw_rows(3, 10).tolist()
    [0, 1, 2]
    """
    drawn: Rows = np.random.default_rng(_SEED).choice(n_rows, size=min(n_drawn, n_rows), replace=False)
    return np.sort(drawn).astype(np.int64)


def draw_others(n_rows: int, n_drawn: int, left_out: Rows) -> Rows:
    """Draw rows as `draw_rows` does, but none of some; where these are all there are, of all.

    >>> draw_others(5, 10, np.array([1, 3])).tolist()
    [0, 2, 4]
    """
    others = np.setdiff1d(np.arange(n_rows), left_out)
    return others[draw_rows(len(others), n_drawn)] if len(others) else draw_rows(n_rows, n_drawn)

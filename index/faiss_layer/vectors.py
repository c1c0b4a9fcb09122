"""Rows of embeddings for FAISS, in memory or from the table's parts."""

import functools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from frieze.core import FeatureFileError, Floats, Rows
from frieze.features import Features, top_k
from frieze.indexing.faiss_layer.metrics import MEASURES, check_lengths, square_lengths
from frieze.indexing.faiss_layer.resident_rows import SparseVectors

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


class StoredVectors:
    """A vectors.faiss.

    Attributes:
        path: The file.
        metric: A key of `MEASURES`.
        n_rows: N >= 1.
        dim: D.
        most_fetched: How many bytes the rows of `raw` may take; None for any.
        n_zero: How many were all zeros when they were written.
    """

    most_fetched: int | None = None
    n_zero = 0

    def __init__(self, path: Path, *, metric: str, n_rows: int, dim: int) -> None:
        self.path = path
        self.metric = metric
        self.n_rows = n_rows
        self.dim = dim

    def __len__(self) -> int:
        return self.n_rows

    @property
    def raw(self) -> Any:
        """FAISS's flat index of the rows that were fetched; all others are zeros."""
        return self._sparse.flat

    @functools.cached_property
    def _sparse(self) -> SparseVectors:
        return SparseVectors(self.path, n_rows=self.n_rows, dim=self.dim, most_bytes=self.most_fetched)

    def fetch(self, rows: Rows) -> None:
        """Have rows [n], negative ones left out, in `raw`."""
        self._sparse.fetch(rows)

    def forget(self) -> None:
        """Give the memory of the fetched rows back."""
        self._sparse.forget()

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        """Read the embeddings piece by piece, not by the map: what is mapped counts as memory of the process.

        Yields:
            The number of the piece's first row, and embeddings float32 [n, D], n >= 1.
        """
        return self.pieces_of(range(self.n_rows))

    def pieces_of(self, rows: range) -> Iterator[tuple[int, Floats]]:
        """Do as `pieces` with some rows, one after the other."""
        step = count_piece(self.dim)
        with self.path.open("rb") as file:
            file.seek(len(_header(self.metric, self.n_rows, self.dim)) + 4 * self.dim * rows.start)
            for start in range(rows.start, rows.stop, step):
                n_rows = min(step, rows.stop - start)
                yield start, np.fromfile(file, np.float32, n_rows * self.dim).reshape(n_rows, self.dim)

    def take(self, rows: Rows) -> Floats:
        """Read some embeddings in one pass.

        Args:
            rows: int64 [n], ascending.

        Returns:
            float32 [n, D].
        """
        taken = np.empty((len(rows), self.dim), np.float32)
        for start, embeddings in self.pieces():
            first, last = np.searchsorted(rows, [start, start + len(embeddings)])
            taken[first:last] = embeddings[rows[first:last] - start]
        return taken


def write_vectors(features: Features, path: Path, *, metric: str) -> StoredVectors:
    """Write a table's embeddings, piece by piece.

    Raises:
        FeatureFileError: A part is missing or broken, or a value is not finite.
        InputError: A vector is too large or too small for the metric.
        OSError: The disk is full or refuses.
    """
    vectors = StoredVectors(path, metric=metric, n_rows=len(features), dim=features.spec.dim)
    prepare = MEASURES[metric].prepare
    with path.open("wb") as file:
        file.write(_header(metric, vectors.n_rows, vectors.dim))
        for ids, embeddings in features.batches():
            bad = ~np.isfinite(embeddings).all(axis=1)
            if bad.any():
                raise FeatureFileError(
                    f"The embedding of {ids[bad.argmax()]} in {features.path} holds a value that is not finite.",
                    hint="Embed that image anew: remove it from its folder, run frieze embed, put it back, run again.",
                )
            squares = square_lengths(embeddings)
            vectors.n_zero += int((squares == 0).sum())
            check_lengths(squares, lambda row: f"The embedding of {ids[row]} in {features.path}", metric=metric)  # noqa: B023  called at once
            file.write(np.ascontiguousarray(prepare(embeddings), np.float32).tobytes())
    return vectors


def load(path: Path, *, hint: str) -> Any:
    """Open a FAISS file without reading it: the system maps what a search touches.

    Raises:
        FeatureFileError: It is missing, cut short or broken.
    """
    import faiss

    try:
        # Measured: this flag maps the lists of IVF too, and answers one query 4x faster than IO_FLAG_MMAP,
        # which starts prefetching threads for each.
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise FeatureFileError(f"{path} is missing or broken: {str(error).split('Error: ')[-1]}.", hint=hint) from error


def _header(metric: str, n_rows: int, dim: int) -> bytes:
    """Give what stands before the numbers: FAISS's own for no rows, with the counts put in.

    Source: FAISS, impl/index_write.cpp, write_index_header and WRITEXBVECTOR: after four letters and the width (int32)
    the number of rows (int64); at the end the number of floats (uint64).
    """
    import faiss

    empty = faiss.IndexFlat(dim, getattr(faiss, MEASURES[metric].faiss_name))
    header = bytearray(faiss.serialize_index(empty).tobytes())
    struct.pack_into("<q", header, 8, n_rows)
    struct.pack_into("<Q", header, len(header) - 8, n_rows * dim)
    return bytes(header)

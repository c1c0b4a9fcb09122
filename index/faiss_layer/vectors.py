"""Embeddings for FAISS, in memory or in a vectors.faiss, read block by block; exact search over the blocks."""

import functools
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from frieze.core import FeatureFileError, Floats, Rows
from frieze.features import Features, top_k
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS, check_lengths, square_lengths
from frieze.indexing.faiss_layer.resident_rows import ResidentRows

NO_ROWS: Rows = np.empty(0, np.int64)
NO_ROWS.flags.writeable = False
_SEED = 0
_BLOCK_ROWS, _BLOCK_BYTES = 1 << 13, 1 << 24
"""A block and everything computed from it take about a hundred megabytes."""


class Vectors(Protocol):
    """Embeddings prepared for a metric.

    Attributes:
        metric: A key of `FAISS_METRICS`.
        dim: D.
        flat_index: FAISS's flat index of them.
    """

    metric: str
    dim: int

    def __len__(self) -> int:
        """Return the number of rows, N >= 1."""

    @property
    def flat_index(self) -> Any:
        """FAISS's flat index of them."""

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """Yield block by block the first row's number and embeddings float32 [n, D]."""

    def take(self, rows: Rows) -> Floats:
        """Return the embeddings float32 [n, D] of rows int64 [n], ascending."""

    @property
    def fetch(self) -> Callable[[Rows], None] | None:
        """Loads rows, but negative ones, into `flat_index`, where others read as zeros; None where all are loaded."""


class InMemoryVectors:
    """Embeddings in memory.

    Args:
        embeddings: float32 [N, D], N >= 1, prepared for the metric.
        metric: A key of `FAISS_METRICS`.
    """

    fetch = None  # all rows are in memory

    def __init__(self, embeddings: Floats, *, metric: str) -> None:
        self._embeddings = embeddings
        self.metric = metric
        self.dim = embeddings.shape[1]

    def __len__(self) -> int:
        return len(self._embeddings)

    @functools.cached_property
    def flat_index(self) -> Any:
        """FAISS's flat index of them."""
        import faiss

        flat = faiss.IndexFlat(self.dim, getattr(faiss, FAISS_METRICS[self.metric].faiss_name))
        flat.add(self._embeddings)
        return flat

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """Yield block by block the first row's number and embeddings float32 [n, D]."""
        step = count_block_rows(self.dim)
        for start in range(0, len(self), step):
            yield start, self._embeddings[start : start + step]

    def take(self, rows: Rows) -> Floats:
        """Return the embeddings float32 [n, D] of rows int64 [n]."""
        return self._embeddings[rows]


def blocks_without(vectors: Vectors, left_out: Rows) -> Iterator[tuple[Rows, Floats]]:
    """Yield rows int64 [n] and embeddings float32 [n, D], n >= 1, block by block, without some rows int64 [m]."""
    for start, embeddings in vectors.blocks():
        rows = np.arange(start, start + len(embeddings))
        others = np.setdiff1d(rows, left_out, assume_unique=True)
        if len(others):
            yield others, embeddings if len(others) == len(rows) else embeddings[others - start]


def nearest(vectors: Vectors, queries: Floats, *, k: int, left_out: Rows = NO_ROWS) -> tuple[Rows, Floats]:
    """Find the exact k nearest rows of each query [Q, D] in NumPy, block by block, without some rows.

    Returns:
        rows: int64 [Q, k], best first; rows of equal score in ascending order.
        scores: float32 [Q, k].
    """
    return merge_top_k(len(queries), k, _search_blocks(vectors, queries, k, left_out))


def _search_blocks(vectors: Vectors, queries: Floats, k: int, left_out: Rows) -> Iterator[tuple[Rows, Floats]]:
    for numbers, embeddings in blocks_without(vectors, left_out):
        at, scores = top_k(queries, embeddings, k=min(k, len(embeddings)), metric=vectors.metric)
        yield numbers[at], scores


def merge_top_k(n_queries: int, k: int, blocks: Iterable[tuple[Rows, Floats]]) -> tuple[Rows, Floats]:
    """Merge the best rows of each block into the k best of all.

    Args:
        n_queries: Q.
        k: How many to keep.
        blocks: rows int64 [Q, n] and scores float32 [Q, n] of each block, higher is nearer.

    Returns:
        rows: int64 [Q, k], best first; of equal scores those of earlier blocks.
        scores: float32 [Q, k].

    >>> merged = merge_top_k(1, 2, [(np.array([[0, 1]]), np.array([[3, 1]])), (np.array([[7]]), np.array([[2]]))])
    >>> merged[0].tolist()
    [[0, 7]]
    """
    rows, scores = np.empty((n_queries, 0), np.int64), np.empty((n_queries, 0), np.float32)
    for block_rows, block_scores in blocks:
        rows, scores = np.hstack([rows, block_rows]), np.hstack([scores, block_scores])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, scores


def find_equal(vectors: Vectors, queries: Floats) -> tuple[Rows, Rows]:
    """Find the rows that are bitwise equal to one of several distinct queries [Q, D].

    Returns:
        rows: int64 [n], ascending.
        query_numbers: int64 [n], the number of the query that each equals.
    """
    numbers = {query.tobytes(): number for number, query in enumerate(queries)}
    checksums, rows, query_numbers = _checksum(queries), [NO_ROWS], [NO_ROWS]
    for start, embeddings in vectors.blocks():
        candidates = np.flatnonzero(np.isin(_checksum(embeddings), checksums))
        matches = np.array([numbers.get(embeddings[row].tobytes(), -1) for row in candidates], np.int64)
        rows.append(start + candidates[matches >= 0])
        query_numbers.append(matches[matches >= 0])
    return np.concatenate(rows), np.concatenate(query_numbers)


def _checksum(embeddings: Floats) -> npt.NDArray[np.uint64]:
    """Compute a checksum of each row of float32 [n, D]: equal for equal rows, rarely for others."""
    sums: npt.NDArray[np.uint64] = np.ascontiguousarray(embeddings).view(np.uint32).sum(axis=1, dtype=np.uint64)
    return sums


def count_block_rows(dim: int) -> int:
    """Compute how many embeddings of a width are read at once.

    >>> count_block_rows(128), count_block_rows(1024)
    (8192, 4096)
    """
    return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (4 * dim)))


def draw_rows(n_rows: int, n_drawn: int) -> Rows:
    """Draw distinct rows uniformly from the table, the same ones each time.

    Returns:
        int64 [min(n_drawn, n_rows)], ascending.

    >>> draw_rows(3, 10).tolist()
    [0, 1, 2]
    """
    drawn: Rows = np.random.default_rng(_SEED).choice(n_rows, size=min(n_drawn, n_rows), replace=False)
    return np.sort(drawn).astype(np.int64)


def draw_rows_except(n_rows: int, n_drawn: int, left_out: Rows) -> Rows:
    """Draw rows as `draw_rows`, without some; from all rows where no others exist.

    >>> draw_rows_except(5, 10, np.array([1, 3])).tolist()
    [0, 2, 4]
    """
    others = np.setdiff1d(np.arange(n_rows), left_out)
    return others[draw_rows(len(others), n_drawn)] if len(others) else draw_rows(n_rows, n_drawn)


class StoredVectors:
    """The embeddings of a stored vectors.faiss.

    Attributes:
        path: The file.
        metric: A key of `FAISS_METRICS`.
        n_rows: N >= 1.
        dim: D.
        max_fetched_bytes: Memory limit for the rows of `flat_index`; None for no limit.
        n_zero: Number of all-zero vectors among those written.
    """

    max_fetched_bytes: int | None = None
    n_zero = 0

    def __init__(self, path: Path, *, metric: str, n_rows: int, dim: int) -> None:
        self.path = path
        self.metric = metric
        self.n_rows = n_rows
        self.dim = dim

    def __len__(self) -> int:
        return self.n_rows

    @property
    def flat_index(self) -> Any:
        """FAISS's flat index, with the rows that were fetched; all others are zeros."""
        return self._resident.flat_index

    @functools.cached_property
    def _resident(self) -> ResidentRows:
        return ResidentRows(self.path, n_rows=self.n_rows, dim=self.dim, max_bytes=self.max_fetched_bytes)

    def fetch(self, rows: Rows) -> None:
        """Load rows [n], negative ones ignored, into `flat_index`."""
        self._resident.fetch(rows)

    def release(self) -> None:
        """Free the memory of the fetched rows."""
        self._resident.release()

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """Read the embeddings block by block, not by mapping: mapped pages count as memory of the process.

        Yields:
            The number of the block's first row, and embeddings float32 [n, D], n >= 1.
        """
        return self.blocks_of(range(self.n_rows))

    def blocks_of(self, rows: range) -> Iterator[tuple[int, Floats]]:
        """Yield the blocks of a range of rows, as `blocks` does."""
        step = count_block_rows(self.dim)
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
        for start, embeddings in self.blocks():
            first, last = np.searchsorted(rows, [start, start + len(embeddings)])
            taken[first:last] = embeddings[rows[first:last] - start]
        return taken


def write_vectors(features: Features, path: Path, *, metric: str) -> StoredVectors:
    """Write a table's embeddings block by block.

    Raises:
        FeatureFileError: A part is missing or broken, or a value is not finite.
        InputError: A vector is too large or too small for the metric.
        OSError: The disk is full or the write fails.
    """
    vectors = StoredVectors(path, metric=metric, n_rows=len(features), dim=features.spec.dim)
    prepare = FAISS_METRICS[metric].prepare
    with path.open("wb") as file:
        file.write(_header(metric, vectors.n_rows, vectors.dim))
        for ids, embeddings in features.batches():
            bad = ~np.isfinite(embeddings).all(axis=1)
            if bad.any():
                raise FeatureFileError(
                    f"The embedding of {ids[bad.argmax()]} in {features.path} holds a value that is not finite.",
                    hint="Embed the image again: remove it from its folder, run frieze embed, put it back, run again.",
                )
            squares = square_lengths(embeddings)
            vectors.n_zero += int((squares == 0).sum())
            check_lengths(squares, lambda row: f"The embedding of {ids[row]} in {features.path}", metric=metric)  # noqa: B023  called at once
            file.write(np.ascontiguousarray(prepare(embeddings), np.float32).tobytes())
    return vectors


def load(path: Path, *, hint: str) -> Any:
    """Open a FAISS file memory-mapped: the system reads what a search touches.

    Raises:
        FeatureFileError: It is missing, truncated or broken.
    """
    import faiss

    try:
        # Measured: this flag also maps the lists of IVF, and answers one query 4x faster than IO_FLAG_MMAP,
        # which starts prefetching threads for each.
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise FeatureFileError(f"{path} is missing or broken: {str(error).split('Error: ')[-1]}.", hint=hint) from error


def _header(metric: str, n_rows: int, dim: int) -> bytes:
    """Return the bytes before the numbers: FAISS's header of an empty index, with the counts filled in.

    Source: FAISS, impl/index_write.cpp, write_index_header and WRITEXBVECTOR: after four letters and the width (int32)
    the number of rows (int64); at the end the number of floats (uint64).
    """
    import faiss

    empty = faiss.IndexFlat(dim, getattr(faiss, FAISS_METRICS[metric].faiss_name))
    header = bytearray(faiss.serialize_index(empty).tobytes())
    struct.pack_into("<q", header, 8, n_rows)
    struct.pack_into("<Q", header, len(header) - 8, n_rows * dim)
    return bytes(header)

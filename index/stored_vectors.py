"""vectors.faiss: all embeddings in row order as the metric wants them, in FAISS's own flat form, mapped, not read."""

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features import FeatureFileError, Features, Floats, Rows
from index.measures import MEASURES, check_lengths, square_lengths
from index.sparse import SparseVectors
from index.vectors import count_piece


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
                    mend="Embed that image anew: remove it from its folder, run frieze embed, put it back, run again.",
                )
            squares = square_lengths(embeddings)
            vectors.n_zero += int((squares == 0).sum())
            check_lengths(squares, lambda row: f"The embedding of {ids[row]} in {features.path}", metric=metric)  # noqa: B023  called at once
            file.write(np.ascontiguousarray(prepare(embeddings), np.float32).tobytes())
    return vectors


def load(path: Path, *, mend: str) -> Any:
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
        raise FeatureFileError(f"{path} is missing or broken: {str(error).split('Error: ')[-1]}.", mend=mend) from error


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

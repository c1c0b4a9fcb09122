"""A vectors.faiss of which only some rows are in memory: what a build scores anew, and no more."""

import functools
import mmap
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import Rows

_RESERVES_NOTHING = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux's number: Python names it from 3.13 on
_PAGE_BYTES = 4096


class SparseVectors:
    """The file laid out in memory that the system gives page by page as rows are put there; the others read as zeros.

    FAISS could map the file itself. But what is mapped counts as memory of the process, and the system maps up to a
    megabyte around each row that is touched: a few thousand rows are the whole file.

    Args:
        path: The file.
        n_rows: N >= 1.
        dim: D.
        most_bytes: What rows may take together; None for any.
    """

    def __init__(self, path: Path, *, n_rows: int, dim: int, most_bytes: int | None = None) -> None:
        self._most_rows = (most_bytes or sys.maxsize) // (4 * dim + _PAGE_BYTES)  # a row lies across pages
        self._row_bytes = 4 * dim
        size = path.stat().st_size
        self._header_bytes = size - n_rows * self._row_bytes
        self._path = path
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _RESERVES_NOTHING
        self._memory = mmap.mmap(-1, size, flags=flags)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._held = np.empty(0, np.int64)

    @functools.cached_property
    def flat(self) -> Any:
        """FAISS's flat index over that memory."""
        import faiss

        self._read([(0, self._header_bytes)])
        bytes_ = np.frombuffer(self._memory, np.uint8)
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(bytes_), len(bytes_))  # type: ignore[attr-defined]  # left out of its stubs
        return faiss.read_index(reader)

    def fetch(self, rows: Rows) -> None:
        """Put rows there, int64 of any shape; negative ones are left out.

        Where they take more than is allowed, some are left out, and recall is measured too low, never too high.
        """
        wanted = np.unique(rows[rows >= 0])
        missing = np.setdiff1d(wanted, self._held, assume_unique=True)
        if len(self._held) + len(missing) > self._most_rows:
            self.forget()
            missing = wanted[: self._most_rows]
        self._read((self._header_bytes + row * self._row_bytes, self._row_bytes) for row in missing.tolist())
        self._held = np.union1d(self._held, missing)

    def forget(self) -> None:
        """Give the memory of all rows back; they read as zeros again."""
        self._memory.madvise(mmap.MADV_DONTNEED)
        self._held = np.empty(0, np.int64)

    def _read(self, places: Iterable[tuple[int, int]]) -> None:
        """Read parts of the file, by where they start and how many bytes they have, to the same place in memory."""
        with self._path.open("rb") as file:
            for start, n_bytes in places:
                os.preadv(file.fileno(), [memoryview(self._memory)[start : start + n_bytes]], start)

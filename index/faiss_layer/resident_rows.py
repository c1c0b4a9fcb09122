"""A vectors.faiss of which only fetched rows are in memory: what a build rescores, and no more."""

import functools
import mmap
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import Rows

_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux's value: Python names it from 3.13 on
_PAGE_BYTES = 4096


class ResidentRows:
    """The file's layout in anonymous memory, allocated page by page as rows are fetched; other rows read as zeros.

    FAISS could map the file itself. But mapped pages count as memory of the process, and the system maps up to a
    megabyte around each row that is touched: a few thousand rows are the whole file.

    Args:
        path: The file.
        n_rows: N >= 1.
        dim: D.
        max_bytes: Memory limit for all fetched rows together; None for no limit.
    """

    def __init__(self, path: Path, *, n_rows: int, dim: int, max_bytes: int | None = None) -> None:
        self._max_rows = (max_bytes or sys.maxsize) // (4 * dim + _PAGE_BYTES)  # a row may cross pages
        self._row_bytes = 4 * dim
        size = path.stat().st_size
        self._header_bytes = size - n_rows * self._row_bytes
        self._path = path
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._memory = mmap.mmap(-1, size, flags=flags)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._resident = np.empty(0, np.int64)

    @functools.cached_property
    def flat_index(self) -> Any:
        """FAISS's flat index over that memory."""
        import faiss

        self._read([(0, self._header_bytes)])
        bytes_ = np.frombuffer(self._memory, np.uint8)
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(bytes_), len(bytes_))  # type: ignore[attr-defined]  # left out of its stubs
        return faiss.read_index(reader)

    def fetch(self, rows: Rows) -> None:
        """Load rows, int64 of any shape; negative ones are ignored.

        Rows beyond the memory limit are left out: recall is then measured too low, never too high.
        """
        requested = np.unique(rows[rows >= 0])
        missing = np.setdiff1d(requested, self._resident, assume_unique=True)
        if len(self._resident) + len(missing) > self._max_rows:
            self.release()
            missing = requested[: self._max_rows]
        self._read((self._header_bytes + row * self._row_bytes, self._row_bytes) for row in missing.tolist())
        self._resident = np.union1d(self._resident, missing)

    def release(self) -> None:
        """Free the memory of all rows; they read as zeros again."""
        self._memory.madvise(mmap.MADV_DONTNEED)
        self._resident = np.empty(0, np.int64)

    def _read(self, spans: Iterable[tuple[int, int]]) -> None:
        """Read spans of the file, (start, number of bytes), to the same offsets in memory."""
        with self._path.open("rb") as file:
            for start, n_bytes in spans:
                os.preadv(file.fileno(), [memoryview(self._memory)[start : start + n_bytes]], start)

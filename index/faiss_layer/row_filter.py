"""The rows that a filter lets through, in FAISS's terms: as a selector for any kind, and all of them gone through."""

import functools
from typing import Any

import numpy as np

from frieze.core import Floats, Rows

_BLOCK_FLOATS = 1 << 24  # values of allowed rows held at once: 64 MB
_MANY = 20  # queries from which FAISS multiplies matrices, for which the rows have to lie together


class RowFilter:
    """Rows of an index that may be found.

    Args:
        rows: int64 [n], ascending.
        n_rows: N, how many the index has.
    """

    def __init__(self, rows: Rows, n_rows: int) -> None:
        self.rows = rows
        self.n_rows = n_rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def share(self) -> float:
        """Which part of all rows it is, in (0, 1]."""
        return len(self) / self.n_rows

    @functools.cached_property
    def selector(self) -> Any:
        """A bit for each row of the index; it has to live as long as FAISS uses it."""
        import faiss

        is_allowed = np.zeros(self.n_rows, bool)
        is_allowed[self.rows] = True
        bits: Any = np.packbits(is_allowed, bitorder="little")
        return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg]  # FAISS's stubs know its C++ alone

    def search(self, flat: Any, ready: Floats, k: int) -> tuple[Floats, Rows]:
        """Go through every allowed row.

        Args:
            flat: FAISS's flat index of all embeddings.
            ready: float32 [Q, D], as the metric wants them.
            k: 1 <= k <= n.

        Returns:
            numbers: FAISS's own, float32 [Q, k], best first.
            rows: int64 [Q, k]; -1 where a number is beyond float32.
        """
        import faiss

        if len(ready) < _MANY:
            selector = faiss.IDSelectorArray(self.rows)
            found: tuple[Floats, Rows] = flat.search(
                ready,
                k,
                params=faiss.SearchParameters(sel=selector),  # type: ignore[call-arg]  # as above
            )
            return found
        numbers, rows = np.empty((len(ready), 0), np.float32), np.empty((len(ready), 0), np.int64)
        sign = 1 if flat.metric_type == faiss.METRIC_L2 else -1
        step = max(1, _BLOCK_FLOATS // flat.d)
        for start in range(0, len(self), step):
            block = self.rows[start : start + step]
            new, places = faiss.knn(ready, flat.reconstruct_batch(block), min(k, len(block)), metric=flat.metric_type)
            numbers = np.hstack([numbers, new])
            rows = np.hstack([rows, np.where(places < 0, -1, block[places])])
            best = np.argsort(sign * numbers, axis=1, kind="stable")[:, :k]
            numbers, rows = np.take_along_axis(numbers, best, axis=1), np.take_along_axis(rows, best, axis=1)
        return numbers, rows

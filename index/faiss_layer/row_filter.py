"""The rows that pass a filter: as a FAISS selector for any kind of index, and searched exactly, row by row."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from frieze.core import Floats, Rows
from frieze.indexing.faiss_layer.vectors import merge_top_k

_BLOCK_FLOATS = 1 << 24  # values of passing rows held at once: 64 MB
_BATCH_QUERIES = 20  # queries from which FAISS multiplies matrices, for which the rows have to be contiguous


class RowFilter:
    """Rows of an index that a search may return.

    Args:
        rows: int64 [n], ascending.
        n_rows: N, number of rows of the index.
    """

    def __init__(self, rows: Rows, n_rows: int) -> None:
        self.rows = rows
        self.n_rows = n_rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def share(self) -> float:
        """Fraction of all rows that pass, in (0, 1]."""
        return len(self) / self.n_rows

    @functools.cached_property
    def selector(self) -> Any:
        """FAISS's bitmap with a bit per row of the index; it must live as long as FAISS uses it."""
        import faiss

        passes = np.zeros(self.n_rows, bool)
        passes[self.rows] = True
        bits: Any = np.packbits(passes, bitorder="little")
        return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg]  # FAISS's stubs know its C++ alone

    def search(self, flat: Any, ready: Floats, k: int) -> tuple[Floats, Rows]:
        """Search all passing rows exactly.

        Args:
            flat: FAISS's flat index of all embeddings.
            ready: float32 [Q, D], prepared for the metric.
            k: 1 <= k <= n.

        Returns:
            numbers: FAISS's numbers, float32 [Q, k], best first.
            rows: int64 [Q, k]; -1 where a number is beyond float32.
        """
        import faiss

        if len(ready) < _BATCH_QUERIES:
            selector = faiss.IDSelectorArray(self.rows)
            result: tuple[Floats, Rows] = flat.search(
                ready,
                k,
                params=faiss.SearchParameters(sel=selector),  # type: ignore[call-arg]  # as above
            )
            return result
        sign = np.float32(-1 if flat.metric_type == faiss.METRIC_L2 else 1)  # FAISS's distances: lower is nearer
        rows, scores = merge_top_k(len(ready), k, self._search_blocks(flat, ready, k, sign))
        return sign * scores, rows

    def _search_blocks(self, flat: Any, ready: Floats, k: int, sign: np.float32) -> Iterator[tuple[Rows, Floats]]:
        import faiss

        step = max(1, _BLOCK_FLOATS // flat.d)
        for start in range(0, len(self), step):
            block = self.rows[start : start + step]
            numbers, at = faiss.knn(ready, flat.reconstruct_batch(block), min(k, len(block)), metric=flat.metric_type)
            yield np.where(at < 0, -1, block[at]), sign * numbers

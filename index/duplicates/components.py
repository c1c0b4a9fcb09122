"""Connected components: rows joined into groups by their pairs, a batch at a time; pairs are not kept."""

import numpy as np

from frieze.core import Rows

_MAX_PENDING = 1 << 22  # pairs held at once: 64 MB


class Components:
    """Groups of rows that are connected by chains of pairs (single linkage).

    Args:
        n_rows: N; initially each row is its own group.
    """

    def __init__(self, n_rows: int) -> None:
        self._labels = np.arange(n_rows, dtype=np.int64)
        self._pending: list[tuple[Rows, Rows]] = []
        self._n_pending = 0

    def join(self, rows: Rows, others: Rows) -> None:
        """Join the two rows of each pair into one group; both are int64 [n].

        >>> components = Components(4)
        >>> components.join(np.array([0, 2]), np.array([2, 3]))
        >>> components.labels().tolist(), [group.tolist() for group in components.groups()]
        ([0, 1, 0, 0], [[0, 2, 3]])
        """
        self._pending.append((rows, others))
        self._n_pending += len(rows)
        if self._n_pending > _MAX_PENDING:
            self._merge()

    def labels(self) -> Rows:
        """Return the number of each row's group, int64 [N]."""
        self._merge()
        return self._labels

    def groups(self) -> list[Rows]:
        """Return the groups of two rows and more, each int64 and ascending."""
        labels = self.labels()
        order = np.argsort(labels, kind="stable")
        starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
        sizes = np.diff(starts, append=len(labels))
        return [order[start : start + size] for start, size in zip(starts, sizes, strict=True) if size > 1]

    def _merge(self) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self._n_pending:
            return
        rows, others = (self._labels[np.concatenate(side)] for side in zip(*self._pending, strict=True))
        self._pending, self._n_pending = [], 0
        n_labels = len(self._labels)
        pairs = coo_array((np.ones(len(rows), bool), (rows, others)), shape=(n_labels, n_labels))
        _, joined = connected_components(pairs, directed=False)
        self._labels = joined[self._labels].astype(np.int64)

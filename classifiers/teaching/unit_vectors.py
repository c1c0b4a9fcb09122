"""Stored vectors of unit length: in memory where they are small, else read again for each pass."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from frieze.core import Floats, Rows, unit_rows

_MOST_BYTES = 1 << 30


class UnitVectors:
    """All vectors of a collection, scaled to unit length.

    Args:
        read: Yields the vectors of some rows, float32 [n, D] a block.
        shape: N and D.
    """

    def __init__(self, read: Callable[[Rows], Iterable[Floats]], shape: tuple[int, int]) -> None:
        self.shape = shape
        self._read = read
        self._cached: Floats | None = None

    @classmethod
    def of(cls, vectors: Floats) -> "UnitVectors":
        """Return those of an array, float32 [N, D]."""
        return cls(lambda rows: [vectors[rows]], (len(vectors), vectors.shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Rows) -> Floats:
        """Return the vectors of some rows, float32 [n, D]."""
        if self._cached is not None:
            return self._cached[rows]
        blocks = [unit_rows(block) for block in self._read(rows)] if len(rows) else []
        return np.concatenate([np.empty((0, self.shape[1]), np.float32), *blocks])

    def blocks(self) -> Iterator[Floats]:
        """Yield all vectors in their order, float32 [n, D] a block."""
        every_row = np.arange(len(self))
        if self._cached is None and 4 * self.shape[0] * self.shape[1] <= _MOST_BYTES:
            self._cached = self.take(every_row)
        if self._cached is not None:
            yield self._cached
        else:
            yield from (unit_rows(block) for block in self._read(every_row))

"""Embeddings that are fitted on from their table, piece by piece, where they are too many for memory."""

from collections.abc import Callable, Iterator

import numpy as np

from frieze.core import Floats, InputError, Rows, free_memory, unit_rows
from frieze.features import Features

_TIMES_FREE = 4  # so often what is free must hold the rows: two copies in half of it
_SAME = 1e-6  # of a unit vector: rounding
_POOL_PARTS = 16  # read together for a shuffle: parts are often of one class each


class StoredRows:
    """Some rows of a table, at unit length, that stay on disk; each time they are gone through they are read again.

    Attributes:
        shape: (N, D), as an array has it.
        order: int64 [N], the places in the order in which they are read.
    """

    def __init__(self, features: Features, rows: Rows) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), features.spec.dim)
        self.order: Rows = np.argsort(rows, kind="stable")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: Rows) -> "StoredRows":
        """Give some of the rows, by their places int64 [n]."""
        return StoredRows(self._features, self._rows[places])

    def __iter__(self) -> Iterator[tuple[Floats, Rows]]:
        """Read embeddings float32 [n, D] and their places int64 [n], ascending in the table."""
        start = 0
        for embeddings in self._features.vectors():
            yield from self._chosen(embeddings, start)
            start += len(embeddings)

    def read(self) -> Floats:
        """Give them all, float32 [N, D]."""
        return mapped(lambda embeddings: embeddings, self)

    def pools(self, generator: np.random.Generator) -> Iterator[tuple[Floats, Rows]]:
        """Read as `__iter__` does, but parts drawn at random, several at once."""
        lengths = [part.rows for part in self._features.manifest.parts]
        starts = np.cumsum([0, *lengths])
        drawn = generator.permutation(len(lengths))
        for first in range(0, len(drawn), _POOL_PARTS):
            found = [
                pair
                for number in drawn[first : first + _POOL_PARTS]
                for pair in self._chosen(self._features.part_vectors(number), starts[number])
            ]
            if found:
                yield np.concatenate([one for one, _ in found]), np.concatenate([places for _, places in found])

    def _chosen(self, embeddings: Floats, start: int) -> Iterator[tuple[Floats, Rows]]:
        """Give those of some rows in a run that are ours, unless none is."""
        first, last = np.searchsorted(self._rows, [start, start + len(embeddings)], sorter=self.order)
        if last > first:
            places = self.order[first:last]
            yield unit_rows(embeddings[self._rows[places] - start]), places


Embeddings = Floats | StoredRows
"""float32 [N, D] of unit length, in memory or in the table."""


def hold(features: Features, rows: Rows, *, most_rows: int | None = None) -> Embeddings:
    """Read some embeddings, unless they are more than may lie in memory.

    Args:
        features: The table.
        rows: int64 [N], row numbers.
        most_rows: How many may; None for as many as fit twice in half of what is free.
    """
    stored = StoredRows(features, rows)
    if most_rows is None:
        most_rows = free_memory() // (_TIMES_FREE * 4 * features.spec.dim)
    return stored.read() if len(rows) <= most_rows else stored


def mapped(function: Callable[[Floats], Floats], embeddings: Embeddings) -> Floats:
    """Give a function's rows for all embeddings, [N, ...], however they are held.

    Args:
        function: Gives one row for each row of float32 [n, D].
        embeddings: float32 [N, D], N >= 1.
    """
    if isinstance(embeddings, np.ndarray):
        return function(embeddings)
    out: Floats | None = None
    for piece, places in embeddings:
        found = function(piece)
        out = np.empty((len(embeddings), *found.shape[1:]), found.dtype) if out is None else out
        out[places] = found
    if out is None:
        raise ValueError("There are no rows.")
    return out


def count_constant(embeddings: Embeddings) -> int:
    """Count the columns of float32 [N, D] of unit length, N >= 1, that are the same in all rows.

    Raises:
        InputError: All are: there is nothing to tell apart.
    """
    dim = embeddings.shape[1]
    lowest, highest = np.full(dim, np.inf, np.float32), np.full(dim, -np.inf, np.float32)
    for piece in [embeddings] if isinstance(embeddings, np.ndarray) else (piece for piece, _ in embeddings):
        np.minimum(lowest, piece.min(axis=0), out=lowest)
        np.maximum(highest, piece.max(axis=0), out=highest)
    n_constant = int((highest - lowest <= _SAME).sum())
    if n_constant == dim and len(embeddings) > 1:
        raise InputError(
            f"The {len(embeddings):,} embeddings to train on are all the same: nothing in them tells classes apart.",
            hint="Look at where they come from: frieze info FEATURES; embed the images again, or import other vectors.",
        )
    return n_constant


class CodedRows:
    """Stored rows with their class numbers, for the solver: pieces (embeddings float32 [n, D], codes int64 [n])."""

    def __init__(self, rows: StoredRows, codes: Rows) -> None:
        self._rows, self._codes = rows, codes

    def __iter__(self) -> Iterator[tuple[Floats, Rows]]:
        for embeddings, places in self._rows:
            yield embeddings, self._codes[places]


def in_pieces(
    embeddings: Embeddings, codes: Rows, weights: Floats | None
) -> tuple[list[tuple[Floats, Rows]] | CodedRows, Floats | None]:
    """Give embeddings and their codes as the solver takes them, and weights [N] or None in the same order."""
    if isinstance(embeddings, np.ndarray):
        return [(embeddings, codes)], weights
    return CodedRows(embeddings, codes), None if weights is None else weights[embeddings.order]

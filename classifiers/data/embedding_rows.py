"""Embeddings of some rows of a table: in memory, or streamed from the table in blocks where memory is short."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError, Rows, free_memory, unit_rows
from frieze.features import BackboneSpec, Features

_TIMES_FREE = 4  # free memory must hold the rows this often: two copies in half of it
_EQUAL = 1e-6  # of a unit vector: rounding
_SHUFFLED_PARTS = 16  # shuffled together, since parts often hold one class each


class EmbeddingRows:
    """Rows of a table at unit length that stay on disk; each iteration streams them again.

    Attributes:
        shape: (N, D), like that of an array.
        order: int64 [N], positions in the order in which they are read.
    """

    def __init__(self, features: Features, rows: Rows) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), features.spec.dim)
        self.order: Rows = np.argsort(rows, kind="stable")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: Rows) -> "EmbeddingRows":
        """Select rows by their positions int64 [n]."""
        return EmbeddingRows(self._features, self._rows[positions])

    def __iter__(self) -> Iterator[tuple[Floats, Rows]]:
        """Yield embeddings float32 [n, D] and their positions int64 [n], in the order of the table."""
        start = 0
        for embeddings in self._features.vectors():
            yield from self._chosen(embeddings, start)
            start += len(embeddings)

    def read(self) -> Floats:
        """Load all rows, float32 [N, D]."""
        return map_rows(lambda embeddings: embeddings, self)

    def shuffled_blocks(self, generator: np.random.Generator) -> Iterator[tuple[Floats, Rows]]:
        """Yield like `__iter__`, but from parts in random order, several together (a shuffle buffer)."""
        lengths = [part.rows for part in self._features.manifest.parts]
        starts = np.cumsum([0, *lengths])
        drawn = generator.permutation(len(lengths))
        for first in range(0, len(drawn), _SHUFFLED_PARTS):
            blocks = [
                pair
                for number in drawn[first : first + _SHUFFLED_PARTS]
                for pair in self._chosen(self._features.part_vectors(number), starts[number])
            ]
            if blocks:
                yield np.concatenate([rows for rows, _ in blocks]), np.concatenate([at for _, at in blocks])

    def _chosen(self, embeddings: Floats, start: int) -> Iterator[tuple[Floats, Rows]]:
        """Yield the selected ones of consecutive rows of the table, unless there are none."""
        first, last = np.searchsorted(self._rows, [start, start + len(embeddings)], sorter=self.order)
        if last > first:
            positions = self.order[first:last]
            yield unit_rows(embeddings[self._rows[positions] - start]), positions


Embeddings = Floats | EmbeddingRows
"""float32 [N, D] of unit length, in memory or in the table."""


def load_or_stream(features: Features, rows: Rows, *, most_rows: int | None = None) -> Embeddings:
    """Load embeddings into memory, or return rows to stream where they do not fit.

    Args:
        features: The table.
        rows: int64 [N], row numbers.
        most_rows: How many fit; None for as many as fit twice in half of the free memory.
    """
    stored = EmbeddingRows(features, rows)
    if most_rows is None:
        most_rows = free_memory() // (_TIMES_FREE * 4 * features.spec.dim)
    return stored.read() if len(rows) <= most_rows else stored


def map_rows(function: Callable[[Floats], Floats], embeddings: Embeddings) -> Floats:
    """Apply a function to all embeddings block by block, and return its rows [N, ...].

    Args:
        function: Returns one row for each row of float32 [n, D].
        embeddings: float32 [N, D], N >= 1.
    """
    if isinstance(embeddings, np.ndarray):
        return function(embeddings)
    out: Floats | None = None
    for block, positions in embeddings:
        rows = function(block)
        out = np.empty((len(embeddings), *rows.shape[1:]), rows.dtype) if out is None else out
        out[positions] = rows
    if out is None:
        raise ValueError("There are no rows.")
    return out


def count_constant(embeddings: Embeddings) -> int:
    """Count the columns of float32 [N, D] of unit length, N >= 1, that are constant.

    Raises:
        InputError: All columns are constant.
    """
    dim = embeddings.shape[1]
    lowest, highest = np.full(dim, np.inf, np.float32), np.full(dim, -np.inf, np.float32)
    for block in [embeddings] if isinstance(embeddings, np.ndarray) else (block for block, _ in embeddings):
        np.minimum(lowest, block.min(axis=0), out=lowest)
        np.maximum(highest, block.max(axis=0), out=highest)
    n_constant = int((highest - lowest <= _EQUAL).sum())
    if n_constant == dim and len(embeddings) > 1:
        raise InputError(
            f"The {len(embeddings):,} training embeddings are all the same: classes can't be distinguished.",
            hint="Look at where they come from: frieze info FEATURES; embed the images again, or import other vectors.",
        )
    return n_constant


Codes = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
"""Class numbers int64 [n] in 0..C-1; of rows of several classes bool [n, C]."""


class CodedRows:
    """Streamed rows with class numbers as blocks for the solver: (embeddings float32 [n, D], codes)."""

    def __init__(self, rows: EmbeddingRows, codes: Codes) -> None:
        self._rows, self._codes = rows, codes

    def __iter__(self) -> Iterator[tuple[Floats, Codes]]:
        for embeddings, positions in self._rows:
            yield embeddings, self._codes[positions]


def as_row_blocks(
    embeddings: Embeddings, codes: Codes, weights: Floats | None
) -> tuple[list[tuple[Floats, Codes]] | CodedRows, Floats | None]:
    """Return embeddings and codes as row blocks for the solver, and weights [N] or None in the same order."""
    if isinstance(embeddings, np.ndarray):
        return [(embeddings, codes)], weights
    return CodedRows(embeddings, codes), None if weights is None else weights[embeddings.order]


Maps = tuple[int, int, int]
"""Height, width and channels of feature maps."""


class PooledFeatures(Features):
    """A view of a table with global average pooling: rows float32 [h * w * c] are read as means float32 [c]."""

    def __init__(self, features: Features, maps: Maps) -> None:
        super().__init__(features.path, features.manifest, snapshot=features.snapshot)
        self._whole, self._maps = features, maps
        self.rows, self.labels_from = features.rows, features.labels_from

    @property
    def spec(self) -> BackboneSpec:
        """The backbone with the width of the means."""
        return dataclasses.replace(self._whole.spec, dim=self._maps[-1])

    def vectors(self) -> Iterator[Floats]:
        """Yield means block by block, float32 [n, c]."""
        return map(self._means, self._whole.vectors())

    def part_vectors(self, number: int) -> Floats:
        """Read the means of one part, float32 [n, c]."""
        return self._means(self._whole.part_vectors(number))

    def _means(self, embeddings: Floats) -> Floats:
        means: Floats = embeddings.reshape(-1, *self._maps).mean(axis=(1, 2))
        return means


def match_width(features: Features, maps: Maps | None, dim: int) -> Features:
    """Return a table, or its pooled view where that has the width of a head.

    Args:
        features: The table.
        maps: Shape of the maps that its rows flatten; None where they are no maps.
        dim: The head's width.
    """
    return PooledFeatures(features, maps) if maps is not None and dim == maps[-1] != features.spec.dim else features

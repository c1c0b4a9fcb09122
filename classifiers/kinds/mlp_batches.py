"""Random batches for the training of a `keras` head, from memory or streamed from a table."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings
from frieze.classifiers.data.splits import early_stopping_split
from frieze.core import Floats, Rows, import_tensorflow

_BATCH_ROWS = 64

_EPOCH_ROWS = 2048  # at least; validation would cost more time than training an epoch of fewer rows

_PREFETCH = 8  # batches that are prefetched


Batch = tuple[Floats, Rows, Floats]
"""Embeddings [64, D], codes [64], weights [64]."""


class ReadErrors:
    """Carries an error through TensorFlow, which replaces exceptions of a generator by its own.

    Attributes:
        error: The exception of a read; None without one.
    """

    error: Exception | None = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record an exception of the block."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    @contextlib.contextmanager
    def reraising(self) -> Iterator[None]:
        """Reraise the original exception of a read in the block.

        Raises:
            InputError: An image or a part of the table can't be read.
        """
        tf = import_tensorflow()
        try:
            yield
        except tf.errors.OpError:
            if self.error is None:
                raise
            raise self.error.with_traceback(None) from None  # its frames hold the pipeline


class Batches(ReadErrors):
    """Endless batches; an epoch has each row equally often.

    Attributes:
        n_steps: Batches in an epoch.
    """

    def __init__(self, embeddings: Embeddings, codes: Rows, rows: Rows, options: FitOptions) -> None:
        """Draw from rows int64 [n] of embeddings [N, D] and codes [N]."""
        self._embeddings, self._codes, self._rows = embeddings, codes, rows
        self._weights = np.ones(len(codes), np.float32) if options.weights is None else options.weights
        self._generator = np.random.default_rng(options.seed)
        self.n_steps = -(-len(rows) * -(-_EPOCH_ROWS // len(rows)) // _BATCH_ROWS)

    def dataset(self) -> Any:
        """Return the batches as a prefetching `tf.data.Dataset`."""
        tf = import_tensorflow()

        width = self._embeddings.shape[1]
        form = [((_BATCH_ROWS, width), tf.float32), ((_BATCH_ROWS,), tf.int64), ((_BATCH_ROWS,), tf.float32)]
        signature = tuple(tf.TensorSpec(shape, kind) for shape, kind in form)
        return tf.data.Dataset.from_generator(self._batches, output_signature=signature).prefetch(_PREFETCH)

    def _batches(self) -> Iterator[Batch]:
        with self.recording():
            yield from self._cut()

    def _cut(self) -> Iterator[Batch]:
        """Cut batches from draw after draw; the remainder of one starts the next."""
        rest = [np.empty((0, self._embeddings.shape[1]), np.float32)], [np.empty(0, np.int64)]
        for embeddings, positions in self._draws():
            rest[0].append(embeddings)
            rest[1].append(positions)
            if sum(map(len, rest[1])) >= _BATCH_ROWS:
                rows, row_positions = np.concatenate(rest[0]), np.concatenate(rest[1])
                rest = [rows[_BATCH_ROWS:]], [row_positions[_BATCH_ROWS:]]
                chosen = row_positions[:_BATCH_ROWS]
                yield rows[:_BATCH_ROWS], self._codes[chosen], self._weights[chosen]

    def _draws(self) -> Iterator[tuple[Floats, Rows]]:
        """Yield up to a batch of embeddings and their positions, each row once before any is repeated."""
        while True:
            for embeddings, rows, positions in self._shuffled_blocks():
                order = self._generator.permutation(len(rows))
                for start in range(0, len(order), _BATCH_ROWS):
                    chosen = order[start : start + _BATCH_ROWS]
                    yield embeddings[rows[chosen]], positions[chosen]

    def _shuffled_blocks(self) -> Iterator[tuple[Floats, Rows, Rows]]:
        """Yield embeddings, the rows to draw from them, and the positions of these among all."""
        if isinstance(self._embeddings, EmbeddingRows):
            for embeddings, positions in self._embeddings[self._rows].shuffled_blocks(self._generator):
                yield embeddings, np.arange(len(positions)), self._rows[positions]
        else:
            yield self._embeddings, self._rows, self._rows


def split_for_early_stopping(
    embeddings: Embeddings, codes: Rows, options: FitOptions
) -> tuple[Rows, tuple[Floats, Rows]]:
    """Return the rows to fit, and embeddings and codes of the validation rows, in memory."""
    fit_rows, validation = early_stopping_split(codes, options.seed, options.groups)
    held = embeddings[validation]
    return fit_rows, (held.read() if isinstance(held, EmbeddingRows) else held, codes[validation])

"""Batches of rows for a network, drawn anew each epoch, from memory or from a table."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, StoredRows
from frieze.classifiers.data.splits import watched_rows
from frieze.core import Floats, Rows, import_tensorflow

_BATCH_ROWS = 64

_EPOCH_ROWS = 2048  # at least; an epoch of few rows would cost more time in looking than in learning

_READY = 8  # batches that are drawn ahead


Batch = tuple[Floats, Rows, Floats]
"""Embeddings [64, D], codes [64], weights [64]."""


class ReadErrors:
    """Carries an error past TensorFlow, which makes one of its own of what a generator raises.

    Attributes:
        error: What was raised while rows were read; None for nothing.
    """

    error: Exception | None = None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Keep what the block raises."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Raise what a read within the block raised, as it was.

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
    """Batches without end; an epoch sees each row equally often.

    Attributes:
        n_steps: Batches in an epoch.
    """

    def __init__(self, embeddings: Embeddings, codes: Rows, rows: Rows, terms: FitOptions) -> None:
        """Draw from some rows int64 [n] of embeddings [N, D] and codes [N]."""
        self._embeddings, self._codes, self._rows = embeddings, codes, rows
        self._weights = np.ones(len(codes), np.float32) if terms.weights is None else terms.weights
        self._generator = np.random.default_rng(terms.seed)
        self.n_steps = -(-len(rows) * -(-_EPOCH_ROWS // len(rows)) // _BATCH_ROWS)

    def dataset(self) -> Any:
        """Give them as a `tf.data.Dataset`, some drawn ahead."""
        tf = import_tensorflow()

        width = self._embeddings.shape[1]
        form = [((_BATCH_ROWS, width), tf.float32), ((_BATCH_ROWS,), tf.int64), ((_BATCH_ROWS,), tf.float32)]
        signature = tuple(tf.TensorSpec(shape, kind) for shape, kind in form)
        return tf.data.Dataset.from_generator(self._batches, output_signature=signature).prefetch(_READY)

    def _batches(self) -> Iterator[Batch]:
        with self.noted():
            yield from self._cut()

    def _cut(self) -> Iterator[Batch]:
        """Cut batches from draw after draw; what is left of one opens the next."""
        left = [np.empty((0, self._embeddings.shape[1]), np.float32)], [np.empty(0, np.int64)]
        for embeddings, places in self._draws():
            left[0].append(embeddings)
            left[1].append(places)
            if sum(map(len, left[1])) >= _BATCH_ROWS:
                rows, own = np.concatenate(left[0]), np.concatenate(left[1])
                left = [rows[_BATCH_ROWS:]], [own[_BATCH_ROWS:]]
                own = own[:_BATCH_ROWS]
                yield rows[:_BATCH_ROWS], self._codes[own], self._weights[own]

    def _draws(self) -> Iterator[tuple[Floats, Rows]]:
        """Give at most a batch of embeddings and their places at a time, each row once before any comes again."""
        while True:
            for embeddings, rows, places in self._pools():
                order = self._generator.permutation(len(rows))
                for start in range(0, len(order), _BATCH_ROWS):
                    chosen = order[start : start + _BATCH_ROWS]
                    yield embeddings[rows[chosen]], places[chosen]

    def _pools(self) -> Iterator[tuple[Floats, Rows, Rows]]:
        """Give embeddings, the rows of these to draw, and their places among all."""
        if isinstance(self._embeddings, StoredRows):
            for embeddings, found in self._embeddings[self._rows].pools(self._generator):
                yield embeddings, np.arange(len(found)), self._rows[found]
        else:
            yield self._embeddings, self._rows, self._rows


def part_watched(embeddings: Embeddings, codes: Rows, seed: int) -> tuple[Rows, tuple[Floats, Rows]]:
    """Give the rows to fit, and embeddings and codes of those to watch, in memory."""
    fitted, watched = watched_rows(codes, seed)
    held = embeddings[watched]
    return fitted, (held.read() if isinstance(held, StoredRows) else held, codes[watched])

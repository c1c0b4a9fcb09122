"""Run images through an engine: decode, infer, and close the pipeline, with several batches in flight, in order."""

import collections
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from frieze.core import Floats, Rows
from frieze.embedder.engines.base import Engine
from frieze.embedder.images.decode_processes import DecodeProcesses, DecoderDiedError
from frieze.embedder.images.limits import Limits
from frieze.embedder.images.prepare import Computed
from frieze.embedder.job.decoder import Batch, Decoder
from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.pipeline import stream
from frieze.embedder.job.select_engine import EngineChoice
from frieze.embedder.job.timing import StageTimes
from frieze.embedder.sources import Source

_LOG = logging.getLogger("frieze")
_AHEAD = 2
"""Threads that read and hash the next batches while as many as there are processes wait for these."""


class EmbeddedBatch(NamedTuple):
    """A batch that went through the engine.

    Attributes:
        batch: The decoded batch.
        embeddings: One for each of its rows, in order; None where the backbone returned no finite numbers.
        n_inferred: How many of its images ran through the backbone and are usable.
    """

    batch: Batch
    embeddings: list[CachedEmbedding | None]
    n_inferred: int


class DecodePool(NamedTuple):
    """What decodes the images of a run.

    Attributes:
        limits: Which images are refused.
        processes: Processes that decode; None where threads of this process do.
        hashes: Whether to compute perceptual hashes.
        statistics: Whether to compute picture statistics.
    """

    limits: Limits
    processes: DecodeProcesses | None
    hashes: bool
    statistics: bool = False


@contextlib.contextmanager
def open_pool(choice: EngineChoice, limits: Limits, *, hashes: bool, statistics: bool = False) -> Iterator[DecodePool]:
    """Start the processes that decode, where the choice has some, while the block runs.

    Args:
        choice: The engine, and how it is fed.
        limits: Which images are refused.
        hashes: Whether to compute perceptual hashes.
        statistics: Whether to compute picture statistics.
    """
    computed = {"hashes": hashes, "statistics": statistics}
    with contextlib.ExitStack() as held:
        processes = None
        if choice.processes:
            try:
                processes = DecodeProcesses(choice.processes, choice.spec, limits, choice.batch_size, **computed)
                held.callback(processes.close)
            except (DecoderDiedError, OSError) as error:
                if limits.image_timeout is not None:
                    raise
                _LOG.warning("Images are decoded by threads, for no process can be started here: %s", error)
        yield DecodePool(limits, processes, **computed)


class _InFlight(NamedTuple):
    """A submitted batch: the bytes whose embeddings `wait` returns."""

    batch: Batch
    digests: list[bytes]
    wait: Callable[[], Floats]


@contextlib.contextmanager
def embed_rows(
    shards: Sequence[Rows],
    source: Source,
    choice: EngineChoice,
    cache: EmbeddingCache,
    times: StageTimes,
    pool: DecodePool,
) -> Iterator[Iterator[EmbeddedBatch]]:
    """Decode and embed rows of a source; the pipeline runs while the block does, and is closed at its end.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
        source: The images.
        choice: The engine, and how the pipeline feeds it.
        cache: Bytes found here are not decoded; new embeddings are added.
        times: Counts the seconds of each stage.
        pool: What decodes, from `open_pool` of the same choice.

    Yields:
        The embedded batches in order; a batch never spans two shards.
    """
    decoder = Decoder(
        source,
        choice.spec,
        max_pixels=pool.limits.max_pixels,
        is_known=cache.__contains__,
        processes=pool.processes,
        computed=Computed(pool.hashes, pool.statistics),
    )
    workers = choice.workers if pool.processes is None else choice.workers + _AHEAD
    # Closed here: a pipeline still open at the interpreter's exit waits for ever for threads that no longer exist.
    with (
        contextlib.closing(stream(shards, decoder, batch_size=choice.batch_size, workers=workers)) as batches,
        contextlib.closing(choice.engine.prefetch(batches)) as prefetched,
    ):
        yield embed_batches(prefetched, choice.engine, cache, times)


def embed_batches(
    batches: Iterator[Batch], engine: Engine, cache: EmbeddingCache, times: StageTimes
) -> Iterator[EmbeddedBatch]:
    """Run batches through an engine, except for bytes that have an embedding already.

    Args:
        batches: From the pipeline.
        engine: Kept busy with `depth` batches in flight.
        cache: Looked up first; new embeddings are added.
        times: Counts the seconds of each stage.

    Yields:
        The batches in order.
    """
    queue = InferenceQueue(engine, cache, times)
    for batch in times.timed(batches):
        yield from queue.put(batch)
    yield from queue.drain()


class InferenceQueue:
    """Keeps an engine busy with several batches in flight, and returns them in order.

    Args:
        engine: Runs `depth` batches at a time.
        cache: Looked up first; new embeddings are added.
        times: Counts the seconds of inference.
    """

    def __init__(self, engine: Engine, cache: EmbeddingCache, times: StageTimes) -> None:
        self._engine = engine
        self._cache = cache
        self._times = times
        self._in_flight = collections.deque[_InFlight]()

    def put(self, batch: Batch) -> Iterator[EmbeddedBatch]:
        """Submit a batch; yield the oldest one where enough are in flight."""
        with self._times.waiting("infer"):
            self._in_flight.append(_submit(batch, self._engine, self._cache))
        if len(self._in_flight) >= self._engine.depth:
            yield self._finish()

    def drain(self) -> Iterator[EmbeddedBatch]:
        """Yield the batches that are still in flight."""
        while self._in_flight:
            yield self._finish()

    def _finish(self) -> EmbeddedBatch:
        return _finish(self._in_flight.popleft(), self._cache, self._times)


def _submit(batch: Batch, engine: Engine, cache: EmbeddingCache) -> _InFlight:
    digests = list(batch.sizes)
    fresh = [row for row, digest in enumerate(digests) if digest not in cache]
    pixels = batch.pixels if len(fresh) == len(digests) else np.asarray(batch.pixels)[fresh]
    batch.pixels = None
    digests = [digests[row] for row in fresh]
    cache.mark_in_flight(digests)
    return _InFlight(batch, digests, engine.submit(pixels))


def _finish(submitted: _InFlight, cache: EmbeddingCache, times: StageTimes) -> EmbeddedBatch:
    batch = submitted.batch
    with times.waiting("infer"):
        embeddings = submitted.wait()
    is_finite = np.asarray(np.isfinite(embeddings).all(axis=1))
    for digest, embedding, is_usable in zip(submitted.digests, embeddings, is_finite, strict=True):
        computed = CachedEmbedding(embedding, *batch.sizes[digest], *batch.hashes[digest], batch.statistics.get(digest))
        cache.add(digest, computed if is_usable else None)
    return EmbeddedBatch(batch, [cache.get(digest) for digest in batch.digests], int(is_finite.sum()))

"""Decoded batches through an engine: several under way at once, coming back in order."""

import collections
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from frieze.core import Floats
from frieze.embedder.engines.base import Engine
from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.pipeline import Batch
from frieze.embedder.job.timing import Stages


class Embedded(NamedTuple):
    """A batch that has come back.

    Attributes:
        batch: The batch.
        seen: What is known of each of its images, in the order of its rows; None where the backbone gave nothing.
        n_run: How many of its images ran through the backbone and gave something.
    """

    batch: Batch
    seen: list[CachedEmbedding | None]
    n_run: int


class _Flight(NamedTuple):
    """A batch under way: the bytes whose embeddings `wait` gives."""

    batch: Batch
    digests: list[bytes]
    wait: Callable[[], Floats]


def embed_batches(
    batches: Iterator[Batch], engine: Engine, known: EmbeddingCache, stages: Stages
) -> Iterator[Embedded]:
    """Run batches through an engine, but for bytes that have an embedding already.

    Args:
        batches: From the pipeline.
        engine: Kept busy with as many batches as it wants.
        known: Asked and told what has an embedding.
        stages: Told what was waited for.

    Yields:
        The batches in order.
    """
    flying = collections.deque[_Flight]()
    for batch in stages.timed(batches):
        with stages.waiting("infer"):
            flying.append(_begin(batch, engine, known))
        if len(flying) >= engine.depth:
            yield _end(flying.popleft(), known, stages)
    while flying:
        yield _end(flying.popleft(), known, stages)


def _begin(batch: Batch, engine: Engine, known: EmbeddingCache) -> _Flight:
    digests = list(batch.sizes)
    fresh = [row for row, digest in enumerate(digests) if digest not in known]
    pixels = batch.pixels if len(fresh) == len(digests) else np.asarray(batch.pixels)[fresh]
    batch.pixels = None
    digests = [digests[row] for row in fresh]
    known.expect(digests)
    return _Flight(batch, digests, engine.submit(pixels))


def _end(flight: _Flight, known: EmbeddingCache, stages: Stages) -> Embedded:
    with stages.waiting("infer"):
        embeddings = flight.wait()
    is_finite = np.asarray(np.isfinite(embeddings).all(axis=1))
    for digest, embedding, is_usable in zip(flight.digests, embeddings, is_finite, strict=True):
        seen = CachedEmbedding(embedding, *flight.batch.sizes[digest]) if is_usable else None
        known.add(digest, seen)
    return Embedded(flight.batch, [known.get(digest) for digest in flight.batch.digests], int(is_finite.sum()))

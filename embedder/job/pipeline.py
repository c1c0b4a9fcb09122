"""The input pipeline: read, decode and resize images into batches in threads, through all shards without a pause."""

import collections
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

from frieze.core import Rows
from frieze.embedder.job.decoder import BatchRows, Clocked, time_reading
from frieze.embedder.sources import Content, Source

_PREFETCHED_BATCHES = 2


class _Requested(Protocol):
    """The rows of a batch, before reading."""

    @property
    def rows(self) -> Rows:
        """int64 [n], ascending."""


R_contra = TypeVar("R_contra", bound=_Requested, contravariant=True)
B_co = TypeVar("B_co", bound=Clocked, covariant=True)


class _Decoder(Protocol[R_contra, B_co]):
    """Decodes batches of a source's images."""

    source: Source

    def stop(self) -> None:
        """End the batches in flight at their next image."""

    def batch(self, requested: R_contra, contents: Iterable[Content], /) -> B_co:
        """Decode a batch from its images' bytes."""


Opened = Future[tuple[Iterable[Content], Clocked]]
"""The bytes of a batch, once they can be read."""
R = TypeVar("R", bound=_Requested)
B = TypeVar("B", bound=Clocked)


def stream(
    shards: Sequence[Rows], decoder: _Decoder[BatchRows, B], *, batch_size: int, workers: int
) -> Generator[B, None, None]:
    """Decode all shards' rows, batch after batch, while those before are embedded.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
        decoder: Decodes one batch; called from `workers` threads at once.
        batch_size: Images a batch; a batch never spans two shards.
        workers: Threads that decode.

    Yields:
        The batches in order, decoded at most `workers` + 2 ahead; pixels are in the host's memory.
    """
    return stream_batches(cut_into_batches(shards, batch_size), decoder, workers=workers)


def stream_batches(requests: Iterable[R], decoder: _Decoder[R, B], *, workers: int) -> Generator[B, None, None]:
    """Decode batches as `stream` does.

    Args:
        requests: The rows of each batch.
        decoder: Decodes one batch; called from `workers` threads at once.
        workers: Threads that decode.
    """
    reader = ThreadPoolExecutor(1, thread_name_prefix="frieze-read")
    decoders = ThreadPoolExecutor(workers, thread_name_prefix="frieze-decode")
    ahead = collections.deque[Future[B]]()
    try:
        for requested, opened in _open_ahead(requests, decoder.source, reader):
            ahead.append(decoders.submit(_decode, decoder, requested, opened))
            if len(ahead) >= workers + _PREFETCHED_BATCHES:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        decoder.stop()
        for pool in (reader, decoders):
            pool.shutdown(cancel_futures=True)


def _open_ahead(requests: Iterable[R], source: Source, reader: ThreadPoolExecutor) -> Iterator[tuple[R, Opened]]:
    """Open batches, as many images before they are decoded as the source says."""
    waiting = collections.deque[tuple[R, Opened]]()
    n_images = 0
    for requested in requests:
        waiting.append((requested, reader.submit(_open, source, requested)))
        n_images += len(requested.rows)
        while waiting and n_images - len(waiting[0][0].rows) >= source.read_ahead():
            n_images -= len(waiting[0][0].rows)
            yield waiting.popleft()
    yield from waiting


def _open(source: Source, requested: _Requested) -> tuple[Iterable[Content], Clocked]:
    """Open the bytes of a batch, one batch at a time; a sequential source is read here."""
    clock = Clocked()
    contents = source.read(requested.rows)
    return list(time_reading(contents, clock)) if source.in_order else contents, clock


def _decode(decoder: _Decoder[R, B], requested: R, opened: Opened) -> B:
    """Decode a batch; a whole batch is one call, so that threads rarely wait for Python."""
    contents, clock = opened.result()
    batch = decoder.batch(requested, contents)
    batch.read_s, batch.read_cpu_s = batch.read_s + clock.read_s, batch.read_cpu_s + clock.read_cpu_s
    return batch


def cut_into_batches(shards: Sequence[Rows], batch_size: int) -> Iterator[BatchRows]:
    """Cut the rows of shards into batches, of which none spans two shards."""
    for shard, rows in enumerate(shards):
        parts = np.split(rows, range(batch_size, len(rows), batch_size))
        for part, is_last in zip(parts, itertools.chain([False] * (len(parts) - 1), [True]), strict=True):
            yield BatchRows(shard, is_last, part)

"""Runs over several tables of the same source, in one pass over its images."""

import contextlib
import functools
import time
from collections.abc import Sequence

import numpy as np

from frieze.core import Rows, evenly_spaced, read_core_times
from frieze.embedder.backbones import Backbone
from frieze.embedder.images.prepare import Computed
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.calibration_sample import SIZE
from frieze.embedder.job.decoder import Batch, Decoder
from frieze.embedder.job.inference import EmbeddedBatch, InferenceQueue
from frieze.embedder.job.pipeline import stream_batches
from frieze.embedder.job.run import Progress, Run, RunStats
from frieze.embedder.job.select_engine import EngineChoice
from frieze.embedder.job.shard_writer import ShardWriter
from frieze.embedder.job.shared_pipeline import (
    SharedBatch,
    SharedDecoder,
    TableRows,
    join_batches,
    share_rows,
    stream_sample,
)
from frieze.embedder.job.timing import StageTimes, measure_load
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec


def embed_together(runs: Sequence[Run], backbones: Sequence[Backbone], *, progress: Progress) -> list[RunStats]:
    """Embed the shards of several runs; an image that several lack is read and decoded once.

    Args:
        runs: Of the same source, with the same limits, each with one image to embed or more.
        backbones: Of each.
        progress: Called after each batch with the images done and to do.

    Returns:
        What each run embedded; the seconds are those of the whole pass.
    """
    n_pending = len(np.unique(np.concatenate([run.rows for run in runs])))
    progress(0, n_pending)
    choices = _choose_engines(runs, backbones)
    times, core_times = StageTimes(), read_core_times()
    stats = [RunStats(first_read_at=time.perf_counter(), times=times) for _ in runs]
    with contextlib.ExitStack() as held:
        tables = [_Table(run, choice, one) for run, choice, one in zip(runs, choices, stats, strict=True)]
        decoder = SharedDecoder([table.decoder for table in tables], max_pixels=runs[0].options.limits.max_pixels)
        requests = share_rows([table.rows for table in tables])
        workers = max(choice.workers for choice in choices)
        batches = held.enter_context(contextlib.closing(stream_batches(requests, decoder, workers=workers)))
        for table in tables:
            held.enter_context(table.shard_writer)
        n_done = 0
        for batch in times.timed(batches):
            _distribute(batch, tables)
            n_done += len(batch.requested.rows)
            progress(min(n_done, n_pending), n_pending)
        for table in tables:
            table.finish()
    times.end(write_cpu_s=sum(table.shard_writer.cpu_s for table in tables))
    for one in stats:
        one.finished_at = time.perf_counter()
        one.load = measure_load(core_times, own_s=times.cpu.total)
    return stats


def _choose_engines(runs: Sequence[Run], backbones: Sequence[Backbone]) -> list[EngineChoice]:
    """Choose the engine of each; the images that they are tried on are decoded once where all lack the same."""
    if not all(np.array_equal(run.rows, runs[0].rows) for run in runs):
        return [run.choose_engine(backbone) for run, backbone in zip(runs, backbones, strict=True)]

    @functools.cache
    def decode() -> list[tuple[Pixels, float]]:
        specs, rows = [backbone.spec for backbone in backbones], evenly_spaced(runs[0].rows, SIZE)
        return decode_for_all(runs[0].source, rows, specs, max_pixels=runs[0].options.limits.max_pixels)

    def take(at: int) -> tuple[Pixels, float]:
        return decode()[at]

    pairs = zip(runs, backbones, strict=True)
    return [run.choose_engine(backbone, functools.partial(take, at)) for at, (run, backbone) in enumerate(pairs)]


def decode_for_all(
    source: Source, rows: Rows, specs: Sequence[BackboneSpec], *, max_pixels: int
) -> list[tuple[Pixels, float]]:
    """Decode images once for several backbones.

    Args:
        source: The images.
        rows: int64 [n], the listing's, ascending.
        specs: Image size, fit and version of decoding of each backbone.
        max_pixels: Largest width times height accepted.

    Returns:
        For each backbone uint8 [m, H, W, 3] of the m <= n usable images, and the seconds that a thread took for one.
    """
    batches = list(stream_sample(source, rows, specs, max_pixels=max_pixels))
    seconds = sum(batch.read_s + batch.decode_s for batch in batches) / len(rows)
    of_each = zip(*(batch.batches for batch in batches), strict=True)
    return [(np.concatenate([batch.pixels for batch in one]), seconds) for one in of_each]


def _distribute(batch: SharedBatch, tables: Sequence["_Table"]) -> None:
    """Give each table its images; those of a table that finds nothing new pass."""
    for table, piece, ends in zip(tables, batch.batches, batch.requested.ends, strict=True):
        if len(piece.requested.rows):
            table.add(piece, ends_batch=ends)


class _Table:
    """One table of the pass: its engine, and the shard that is filled."""

    def __init__(self, run: Run, choice: EngineChoice, stats: RunStats) -> None:
        shards = run.shards
        self.rows = TableRows(
            [shard.rows for shard in shards], sum(not shard.drop for shard in shards), choice.batch_size
        )
        self.decoder = Decoder(
            run.source,
            choice.spec,
            max_pixels=run.options.limits.max_pixels,
            is_known=run.cache.__contains__,
            computed=Computed(run.writer.manifest.has_perceptual_hashes, run.writer.manifest.has_statistics),
        )
        self.shard_writer = ShardWriter(run.writer, run.comparison, shards, run.cache)
        self._stats = stats
        self._queue = InferenceQueue(choice.engine, run.cache, stats.times)
        self._pieces: list[Batch] = []

    def add(self, piece: Batch, *, ends_batch: bool) -> None:
        """Collect the pieces of a batch; embed it once it is whole."""
        self._pieces.append(piece)
        if ends_batch:
            batch, self._pieces = join_batches(self._pieces), []
            for embedded in self._queue.put(batch):
                self._store(embedded)

    def finish(self) -> None:
        """Wait for what is in flight, and for the last commit."""
        for embedded in self._queue.drain():
            self._store(embedded)
        with self._stats.times.waiting("write"):
            self.shard_writer.wait()

    def _store(self, embedded: EmbeddedBatch) -> None:
        with self._stats.times.waiting("write"):
            self.shard_writer.add(embedded)
        self._stats.add(embedded)

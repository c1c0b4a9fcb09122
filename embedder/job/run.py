"""One run: compare the listing with the table, plan shards, retry earlier failures, embed and commit.

Each committed shard is a checkpoint: an interrupted run resumes with the shards that are missing.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows, TablePath, count_cores, cpu_share, read_core_times
from frieze.embedder.backbones import Backbone
from frieze.embedder.images.decoding_tally import DecodingTally
from frieze.embedder.images.limits import LIMITED, Limits
from frieze.embedder.images.resize import Pixels
from frieze.embedder.images.unsupported_formats import are_readable_now
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import EmbeddedBatch, embed_rows, open_pool
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.renames import find_renamed
from frieze.embedder.job.select_engine import EngineChoice, choose_engine
from frieze.embedder.job.shard_writer import ShardWriter, commit
from frieze.embedder.job.timing import Load, StageTimes, measure_load
from frieze.embedder.sources import Source
from frieze.features import (
    PART,
    Comparison,
    FeatureWriter,
    Plan,
    Shard,
    compare,
    is_features,
    keep_rows_of_empty,
    make_plan,
    read_manifest,
    to_failures,
)

Progress = Callable[[int, int], None]
"""Called with the images done and the images to do; while the source is listed, with those listed so far and 0."""


@dataclasses.dataclass
class RunStats:
    """What a run embedded, and where its time went.

    Attributes:
        n_embedded: Images that ran through the backbone.
        n_stored: Rows that they and their duplicates became.
        first_read_at: When the first image was read, on `time.perf_counter`'s clock, as all times here; 0 for never.
        finished_at: When the last part was committed.
        times: Seconds of each stage.
        n_workers: How many processes embedded at once.
        cores: Cores' worth of time that each may use.
        load: How busy this machine was meanwhile; None where that is not known, or other machines embedded.
        nodes: Machine -> seconds of its workers' stages; empty where this process embedded.
        tally: Traits of the images, counted while they were decoded.
        cluster_notes: Sentences: what the run waited for on a cluster.
    """

    n_embedded: int = 0
    n_stored: int = 0
    first_read_at: float = 0.0
    finished_at: float = 0.0
    times: StageTimes = dataclasses.field(default_factory=StageTimes)
    n_workers: int = 1
    cores: float = dataclasses.field(default_factory=cpu_share)
    load: Load | None = None
    nodes: dict[str, StageTimes] = dataclasses.field(default_factory=dict)
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)
    cluster_notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, embedded: EmbeddedBatch) -> None:
        """Count a batch."""
        self.tally.merge(embedded.batch.tally)
        self.n_embedded += embedded.n_inferred
        self.n_stored += sum(one is not None for one in embedded.embeddings)


def plan_run(
    started_at: float,
    writer: FeatureWriter,
    source: Source,
    options: JobOptions,
    progress: Progress,
    *,
    retried: tuple[str, ...] = (),
) -> "Run":
    """Compare a source with a table, plan the run, and store the images that can't be listed as failures.

    Args:
        started_at: When the job started, on `time.perf_counter`'s clock.
        writer: The table.
        source: The listed images.
        options: How they are embedded.
        progress: Called for images that are hashed and done.
        retried: Reasons of failures to retry, from `reasons_to_retry`.
    """
    listing = source.listing
    comparison = compare(
        listing.images,
        writer.stored(),
        writer.failed,
        unlisted=listing.failures,
        retried=failures_to_retry(writer.failed, retried),
    )
    workers = options.workers or count_cores()
    source_rows = find_renamed(comparison, source, writer, workers=workers, step=progress)
    comparison, kept_folders, emptied = keep_rows_of_empty(comparison, source_rows, listing.empty)
    plan = make_plan(
        comparison,
        source_rows,
        shard_size=options.shard_size,
        retry_failures=options.retry_failures,
        limit=options.limit,
    )
    failures = (*listing.failures, *emptied)
    writer.replace_failures(pa.concat_tables([plan.known_failures, to_failures(failures)]))
    source = dataclasses.replace(source, listing=dataclasses.replace(listing, failures=failures))
    stored = _stored_digests(writer, comparison, plan) if plan.n_pending else {}
    cache = EmbeddingCache(writer.computed_columns, stored)
    return Run(started_at, writer, source, options, progress, comparison, plan, cache, kept_folders)


def _stored_digests(writer: FeatureWriter, comparison: Comparison, plan: Plan) -> dict[bytes, int]:
    """Return sha256 -> part of the stored rows that stay in their part in this run."""
    stored_rows = comparison.stored_rows[np.concatenate([shard.rows for shard in plan.shards])]
    stays = ~comparison.removed
    stays[stored_rows[stored_rows >= 0]] = False
    hashes = writer.hashes().filter(pa.array(stays)).to_pylist()
    parts = comparison.stored[PART].filter(pa.array(stays)).to_pylist()
    return {bytes.fromhex(sha256): part for sha256, part in zip(hashes, parts, strict=True) if sha256 is not None}


def reasons_to_retry(out: TablePath, options: JobOptions) -> tuple[str, ...]:
    """Return the reasons of stored failures to retry: those of limits, when the run has other limits."""
    has_same_limits = not is_features(out) or Limits.of(read_manifest(out).request) == options.limits
    return () if has_same_limits else LIMITED


def failures_to_retry(failed: pa.Table, reasons: tuple[str, ...]) -> pa.ChunkedArray:
    """Mark the failures to retry though the image is unchanged: some reasons, and formats that are supported now.

    Args:
        failed: A table of `FAILURES`.
        reasons: From `reasons_to_retry`.
    """
    return pc.or_(pc.is_in(failed["reason"], pa.array(reasons, pa.string())), are_readable_now(failed["message"]))


@dataclasses.dataclass(frozen=True)
class Run:
    """A planned run over a table.

    Attributes:
        started_at: When the job started, on `time.perf_counter`'s clock.
        writer: The table.
        source: The listed images.
        options: How they are embedded.
        progress: Called for images that are done.
        comparison: The listing compared with the table.
        plan: The shards to write.
        cache: Embeddings of the rows that stay where they are, and of new ones.
        kept_folders: Empty folders whose rows stay -> how many.
    """

    started_at: float
    writer: FeatureWriter
    source: Source
    options: JobOptions
    progress: Progress
    comparison: Comparison
    plan: Plan
    cache: EmbeddingCache
    kept_folders: dict[str, int] = dataclasses.field(default_factory=dict)

    def copy(self) -> None:
        """Commit the new parts that need no backbone."""
        for shard in self.plan.shards:
            if not len(shard.rows) and not shard.drop:
                commit(shard, self.writer, self.comparison)

    def remove(self) -> None:
        """Commit the old parts that only lose rows or change columns; last, for new parts copy from them."""
        for shard in self.plan.shards:
            if not len(shard.rows) and shard.drop:
                commit(shard, self.writer, self.comparison)

    @property
    def shards(self) -> list[Shard]:
        """The shards with images to embed."""
        return [shard for shard in self.plan.shards if len(shard.rows)]

    @property
    def rows(self) -> Rows:
        """The listing's rows to embed, int64 [n], in the order of the shards."""
        return np.concatenate([shard.rows for shard in self.shards])

    def choose_engine(
        self, backbone: Backbone, decode: Callable[[], tuple[Pixels, float]] | None = None
    ) -> EngineChoice:
        """Choose the engine that embeds, and store the choice with the table.

        Args:
            backbone: The network.
            decode: As of a `CalibrationSample`.
        """
        sample = CalibrationSample(self.source, self.rows, backbone.spec, self.options.limits, decode)
        choice = choose_engine(backbone, self.options, sample, self.writer.manifest, self.writer.path)
        choice.store_graph(self.writer.path)
        self.writer.update(engine=choice.engine.name, tuning=choice.tuning, spec=choice.spec)
        return choice

    def embed(self, backbone: Backbone) -> RunStats:
        """Embed and commit all other shards in this process."""
        self.progress(0, self.plan.n_pending)
        shards, limits, choice = self.shards, self.options.limits, self.choose_engine(backbone)
        rows, manifest = [shard.rows for shard in shards], self.writer.manifest
        stats, core_times = RunStats(first_read_at=time.perf_counter()), read_core_times()
        with (
            open_pool(
                choice, limits, hashes=manifest.has_perceptual_hashes, statistics=manifest.has_statistics
            ) as pool,
            embed_rows(rows, self.source, choice, self.cache, stats.times, pool) as batches,
            ShardWriter(self.writer, self.comparison, shards, self.cache) as shard_writer,
        ):
            n_done = 0
            for embedded in batches:
                with stats.times.waiting("write"):
                    shard_writer.add(embedded)
                stats.add(embedded)
                n_done += len(embedded.batch.requested.rows)
                self.progress(n_done, self.plan.n_pending)
            with stats.times.waiting("write"):
                shard_writer.wait()
        stats.finished_at = time.perf_counter()
        stats.times.end(write_cpu_s=shard_writer.cpu_s)
        stats.load = measure_load(core_times, own_s=stats.times.cpu.total)
        return stats

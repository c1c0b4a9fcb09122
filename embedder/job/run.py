"""One run over a plan of shards, and what came of it."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import count_cores, cpu_share, read_core_times
from frieze.embedder.backbones import Backbone
from frieze.embedder.images.decoding_tally import DecodingTally
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import Embedded, embed_batches
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.pipeline import Decoder, stream
from frieze.embedder.job.renames import find_renamed
from frieze.embedder.job.retried_failures import may_pass
from frieze.embedder.job.select_engine import choose_engine
from frieze.embedder.job.shard_writer import ShardWriter, commit
from frieze.embedder.job.timing import Load, Stages, explain, measure_load
from frieze.embedder.sources import Source
from frieze.features import (
    PART,
    Comparison,
    FeatureWriter,
    Plan,
    compare,
    count_reasons,
    count_vanished,
    keep_rows_of_empty,
    make_plan,
    to_failures,
)

Progress = Callable[[int, int], None]
"""Called with the images done and the images to do; with those found and 0 while the source is listed."""


def make_run(
    began: float,
    writer: FeatureWriter,
    source: Source,
    options: JobOptions,
    progress: Progress,
    *,
    retried: tuple[str, ...] = (),
) -> "Run":
    """Hold a source against a table, and put what can't even be listed among its failures.

    Args:
        began: When the run began, on `time.perf_counter`'s clock.
        writer: The table.
        source: What is to be embedded.
        options: How.
        progress: Told of images that are looked at and done.
        retried: Reasons of failures that may not hold any more.
    """
    listing = source.listing
    comparison = compare(
        listing.images,
        writer.stored(),
        writer.failed,
        unlisted=listing.failures,
        retried=may_pass(writer.failed, retried),
    )
    workers = options.workers or count_cores()
    source_rows = find_renamed(comparison, source, writer, workers=workers, step=progress)
    comparison, kept, emptied = keep_rows_of_empty(comparison, source_rows, listing.empty)
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
    return Run(began, writer, source, options, progress, comparison, plan, stored, kept_folders=kept)


def _stored_digests(writer: FeatureWriter, comparison: Comparison, plan: Plan) -> dict[bytes, int]:
    """Give the part of each stored image's bytes, but of those that leave their part in this run."""
    places = comparison.stored_rows[np.concatenate([shard.rows for shard in plan.shards])]
    stays = ~comparison.removed
    stays[places[places >= 0]] = False
    hashes = writer.hashes().filter(pa.array(stays)).to_pylist()
    parts = comparison.stored[PART].filter(pa.array(stays)).to_pylist()
    return {bytes.fromhex(sha): part for sha, part in zip(hashes, parts, strict=True) if sha is not None}


@dataclasses.dataclass
class Run:
    """One run over a plan, and what came of it.

    Attributes:
        began: When the run began, on `time.perf_counter`'s clock, as all times here.
        stored: sha256 -> number of the part, of the rows that stay where they are.
        first_read: When the first image was read.
        done: When the last part was committed.
        n_workers: How many processes embedded at once.
        cores: Cores' worth of time that each may use.
        load: How busy this machine was meanwhile; None where that is not known, or others embedded.
        nodes: Machine -> where its workers' time went; empty where this process embedded.
        pixels: How the network's range of pixels is known.
        tally: What was told of the images while they were decoded.
        kept_folders: Empty folders whose rows stay -> how many.
        cluster_notes: In words, what the run waited for on a cluster.
    """

    began: float
    writer: FeatureWriter
    source: Source
    options: JobOptions
    progress: Progress
    comparison: Comparison
    plan: Plan
    stored: dict[bytes, int]
    n_embedded: int = 0
    n_stored: int = 0
    first_read: float = 0.0
    done: float = 0.0
    stages: Stages = dataclasses.field(default_factory=Stages)
    n_workers: int = 1
    cores: float = dataclasses.field(default_factory=cpu_share)
    load: Load | None = None
    nodes: dict[str, Stages] = dataclasses.field(default_factory=dict)
    pixels: dict[str, str | None] = dataclasses.field(default_factory=dict)
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)
    kept_folders: dict[str, int] = dataclasses.field(default_factory=dict)
    cluster_notes: list[str] = dataclasses.field(default_factory=list)

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

    def embed(self, backbone: Backbone) -> None:
        """Commit all other shards."""
        self.progress(0, self.plan.n_pending)
        shards = [shard for shard in self.plan.shards if len(shard.rows)]
        rows = [shard.rows for shard in shards]
        max_pixels = self.options.limits.max_pixels
        probe = CalibrationSample(self.source, np.concatenate(rows), backbone.spec, max_pixels)
        choice = choose_engine(backbone, self.options, probe, self.writer.manifest)
        self.writer.update(engine=choice.engine.name, tuning=choice.tuning, spec=choice.spec)
        known = EmbeddingCache(self.writer.computed_columns, self.stored)
        self.first_read, self.stages, before = time.perf_counter(), Stages(), read_core_times()
        batches = stream(
            rows,
            Decoder(self.source, backbone.spec, max_pixels=max_pixels, is_known=known.__contains__),
            batch_size=choice.batch_size,
            workers=choice.workers,
            device=choice.engine.device,
        )
        # Closed here: a pipeline that Python's own end finds open would wait for ever for threads that are gone.
        with contextlib.closing(batches), ShardWriter(self.writer, self.comparison, shards, known) as filler:
            self._fill(filler, embed_batches(batches, choice.engine, known, self.stages))
        self.done = time.perf_counter()
        self.stages.end(write_cpu_s=filler.cpu_s)
        self.load = measure_load(before, own_s=self.stages.cpu.total)

    def _fill(self, filler: ShardWriter, batches: Iterator[Embedded]) -> None:
        n_done = 0
        for batch, seen, n_run in batches:
            with self.stages.waiting("write"):
                filler.add(batch, seen)
            self.tally.merge(batch.tally)
            self.n_embedded += n_run
            self.n_stored += sum(one is not None for one in seen)
            n_done += len(batch.piece.rows)
            self.progress(n_done, self.plan.n_pending)
        with self.stages.waiting("write"):
            filler.wait()

    def document(self) -> dict[str, Any]:
        """Give the document of `frieze embed --json`."""
        manifest = self.writer.manifest
        seconds = self.done - self.first_read
        return {
            **self.source.to_json(self.writer.failed),
            "embedded": self.n_embedded,
            "unchanged": self.plan.n_unchanged,
            "relabelled": self.plan.n_relabelled,
            "renamed": self.plan.n_renamed,
            "duplicates": self.n_stored - self.n_embedded,
            "removed": self.plan.n_removed,
            "removed_folders": count_vanished(self.comparison, self.plan.removed),
            "kept_folders": self.kept_folders,
            "failed": manifest.n_failed,
            "failures": count_reasons(self.writer.failed),
            "left": self.plan.n_left,
            **self.tally.to_json(),
            "rows": manifest.n_rows,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.n_embedded / seconds, 1) if seconds else 0.0,
            "startup_seconds": round((self.first_read or time.perf_counter()) - self.began, 3),
            **self._explanation(seconds),
            "dim": manifest.spec.dim,
            "backbone": manifest.spec.name,
            "engine": manifest.engine,
            "batch_size": manifest.tuning.get("batch_size"),
            "precision": manifest.spec.precision,
            "pixels": manifest.spec.pixels,
            **self.pixels,
            "drift": manifest.spec.drift,
            "broken_parts": self.writer.broken_parts,
            "out": str(self.writer.path),
        }

    def _explanation(self, seconds: float) -> dict[str, Any]:
        """Say what was waited for, what kept the processor busy, and what bounds the run; nothing where nothing ran."""
        told: dict[str, Any] = self.stages.to_json()
        if self.nodes:
            told["nodes"] = {name: stages.to_json() for name, stages in sorted(self.nodes.items())}
            told["cluster_notes"] = self.cluster_notes
        told["other_programs"] = None if self.load is None else round(self.load.others, 3)
        if not self.n_embedded:
            return told | {"bound_by": None, "advice": None}
        found = explain(
            self.stages.waited,
            self.stages.cpu,
            seconds=seconds * self.n_workers,
            cores=self.cores,
            load=self.load,
            workers=self.options.workers,
        )
        return told | {"bound_by": found.stage, "advice": found.advice}

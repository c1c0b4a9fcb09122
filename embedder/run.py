"""One run over a plan of shards, and what came of it."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from embedder.backbones import Backbone
from embedder.engines import Engine, choose_engine
from embedder.options import JobOptions
from embedder.pipeline import Batch, Decoder, stream
from embedder.shards import ShardFiller
from embedder.stages import Stages
from features import FeatureWriter, Listing, Plan, count_cores, count_reasons, make_plan, to_failures

Progress = Callable[[int, int], None]
"""Called with the images done and the images to do."""


def make_shards(writer: FeatureWriter, listing: Listing, options: JobOptions) -> Plan:
    """Hold a listing against a table, and put what can't even be listed among its failures."""
    plan = make_plan(
        listing,
        stored=writer.stored(),
        failed=writer.failed,
        shard_size=options.shard_size,
        retry_failures=options.retry_failures,
        limit=options.limit,
    )
    writer.replace_failures(pa.concat_tables([plan.known_failures, to_failures(listing.failures)]))
    return plan


@dataclasses.dataclass
class Run:
    """One run over a plan, and what came of it.

    Attributes:
        began: When the run began, on `time.perf_counter`'s clock, as all times here.
        first_read: When the first image was read.
        done: When the last part was committed.
    """

    began: float
    writer: FeatureWriter
    listing: Listing
    plan: Plan
    n_embedded: int = 0
    first_read: float = 0.0
    done: float = 0.0
    stages: Stages = dataclasses.field(default_factory=Stages)

    def remove(self) -> None:
        """Commit the shards that only lose rows."""
        for shard in self.plan.shards:
            if not len(shard.rows):
                self.writer.commit(shard)

    def embed(self, backbone: Backbone, options: JobOptions, progress: Progress | None) -> None:
        """Commit all other shards."""
        if progress:
            progress(0, self.plan.n_pending)
        engine = choose_engine(options.engine, backbone)
        self.writer.update(engine=engine.name)
        shards = [shard for shard in self.plan.shards if len(shard.rows)]
        self.first_read = time.perf_counter()
        batches = stream(
            [shard.rows for shard in shards],
            Decoder(self.listing.images, backbone.spec).batch,
            batch_size=options.batch_size or engine.batch_size,
            workers=options.workers or count_cores(),
            device=engine.device,
        )
        with ShardFiller(self.writer, self.listing.images, shards) as filler:
            self._fill(filler, batches, engine, progress)
        self.n_embedded = filler.n_embedded
        self.done = time.perf_counter()

    def _fill(self, filler: ShardFiller, batches: Iterator[Batch], engine: Engine, progress: Progress | None) -> None:
        n_done = 0
        for batch in self.stages.timed(batches):
            with self.stages.waiting("infer"):
                embeddings = engine.infer(batch.pixels)
            with self.stages.waiting("write"):
                filler.add(batch, embeddings)
            n_done += len(batch.rows) + len(batch.failures)
            if progress:
                progress(n_done, self.plan.n_pending)
        with self.stages.waiting("write"):
            filler.wait()

    def _n_left(self) -> int:
        """Count the images that --limit left for another run."""
        images = len(self.listing.images) + len(self.listing.failures)
        return images - self.writer.manifest.n_rows - self.writer.manifest.n_failed

    def document(self) -> dict[str, Any]:
        """Give the document of `frieze embed --json`."""
        manifest = self.writer.manifest
        seconds = self.done - self.first_read
        return {
            "images": len(self.listing.images) + len(self.listing.failures),
            "embedded": self.n_embedded,
            "unchanged": self.plan.n_unchanged,
            "removed": self.plan.n_removed,
            "failed": manifest.n_failed,
            "failures": count_reasons(self.writer.failed),
            "left": self._n_left(),
            "ignored": manifest.n_ignored,
            "rows": manifest.n_rows,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.n_embedded / seconds, 1) if seconds else 0.0,
            "startup_seconds": round((self.first_read or time.perf_counter()) - self.began, 3),
            "stages": self.stages.to_json(),
            "dim": manifest.spec.dim,
            "backbone": manifest.spec.name,
            "engine": manifest.engine,
            "precision": manifest.spec.precision,
            "out": str(self.writer.path),
        }

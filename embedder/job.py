"""The embedding job: what is missing, shard after shard, into a table of features."""

import dataclasses
import functools
import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from embedder.backbones import Backbone, BackboneRequest, open_backbone, without_loading
from embedder.decoding import VERSION
from embedder.engines import Engine, choose_engine
from embedder.pipeline import Batch, Decoder, stream
from embedder.shards import ShardFiller
from embedder.sources import list_source
from embedder.stages import Stages
from features import (
    FeatureWriter,
    InputError,
    Listing,
    Manifest,
    Plan,
    check_is_ours,
    check_same_backbone,
    is_features,
    make_plan,
    open_writer,
    read_manifest,
    replace_folder,
    to_failures,
)

Progress = Callable[[int, int], None]
"""Called with the images done and the images to do."""

_VERSIONS = ("frieze", "keras", "numpy", "pillow", "pyarrow", "tensorflow")


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How a source is embedded.

    Attributes:
        engine: A key of `ENGINES`, or `auto`.
        batch_size: Images a batch; None leaves it to the engine.
        workers: Threads that decode; None for one a core.
        labels: `folder` or `none`.
        shard_size: Images in a new part.
        limit: Embed at most so many images in this run.
        retry_failures: Embed the images that failed before, and nothing else.
        force: Make the table anew; the old one stays until the new one is whole.
    """

    engine: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    labels: str = "folder"
    shard_size: int = 4096
    limit: int | None = None
    retry_failures: bool = False
    force: bool = False

    def check(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            InputError: One is below 1.
        """
        for name in ("batch_size", "workers", "shard_size", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {value}.", mend=f"Give --{option} 1 or more.")


def embed_source(
    source: str, out: Path, *, request: BackboneRequest, options: JobOptions, progress: Progress | None = None
) -> dict[str, Any]:
    """Bring a table of features up to date with a source.

    Args:
        source: A folder of images, or one image.
        out: The table's folder; made when missing, gone on with when there.
        request: The backbone.
        options: How.
        progress: Told after each batch.

    Returns:
        The document of `frieze embed --json`.

    Raises:
        InputError: Something the user can mend; what is stored stays.
    """
    began = time.perf_counter()
    options.check()
    out = out.absolute()
    check_is_ours(out)
    fresh = out.with_name(f".{out.name}.new")  # a fixed name: what a killed --force left there is gone on with
    listing = list_source(source, labels=options.labels, skip=(out, fresh))
    bring_up_to_date = functools.partial(
        _bring_up_to_date, listing=listing, began=began, request=request, options=options, progress=progress
    )
    if not (options.force and is_features(out)):
        return bring_up_to_date(out)
    if is_features(fresh) and not _goes_on(fresh, listing, request):
        shutil.rmtree(fresh)
    document = bring_up_to_date(fresh)
    replace_folder(fresh, out)
    return document | {"out": str(out)}


def _goes_on(fresh: Path, listing: Listing, request: BackboneRequest) -> bool:
    stored = read_manifest(fresh)
    is_same = (stored.source, stored.spec.decoding) == (listing.source, VERSION)
    return is_same and _stored_manifest(fresh, listing, request) is not None


def _bring_up_to_date(
    out: Path,
    *,
    listing: Listing,
    began: float,
    request: BackboneRequest,
    options: JobOptions,
    progress: Progress | None,
) -> dict[str, Any]:
    manifest = _stored_manifest(out, listing, request)
    backbone = None
    if manifest is None:
        backbone = open_backbone(request)
        manifest = _new_manifest(listing, request, backbone)
    with open_writer(out, manifest) as writer:
        run = _Run(began, writer, listing, _plan(writer, listing, options))
        run.remove()
        if run.plan.n_pending:
            run.embed(backbone or _reopened(request, manifest), options, progress)
        writer.update()
        return run.document()


def _stored_manifest(out: Path, listing: Listing, request: BackboneRequest) -> Manifest | None:
    """Take the table's own word on its backbone, where the request is the same and no local file has changed."""
    if not is_features(out):
        return None
    stored = read_manifest(out)
    is_same = stored.request == request.to_json()
    if not is_same or without_loading(request) not in (None, stored.spec.fingerprint):
        return None
    return dataclasses.replace(stored, source=listing.source, n_ignored=listing.n_ignored)


def _new_manifest(listing: Listing, request: BackboneRequest, backbone: Backbone) -> Manifest:
    return Manifest(
        spec=backbone.spec,
        source=listing.source,
        request=request.to_json(),
        versions={name: importlib.metadata.version(name) for name in _VERSIONS},
        n_ignored=listing.n_ignored,
    )


def _reopened(request: BackboneRequest, manifest: Manifest) -> Backbone:
    backbone = open_backbone(request)
    check_same_backbone(backbone.spec, manifest.spec, where="the table", mend="Begin again with --force.")
    return backbone


def _plan(writer: FeatureWriter, listing: Listing, options: JobOptions) -> Plan:
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
class _Run:
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
        engine = choose_engine(options.engine, backbone)
        self.writer.update(engine=engine.name)
        shards = [shard for shard in self.plan.shards if len(shard.rows)]
        self.first_read = time.perf_counter()
        batches = stream(
            [shard.rows for shard in shards],
            Decoder(self.listing.images, backbone.spec).batch,
            batch_size=options.batch_size or engine.batch_size,
            workers=options.workers or _n_cores(),
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


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

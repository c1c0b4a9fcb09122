"""What a run would do and how long it would take, measured on a few of its images."""

import contextlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.core import BucketPath, Rows, TablePath
from frieze.embedder.backbones import Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.embed import Task, open_job
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import embed_batches
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.pipeline import Decoder, stream
from frieze.embedder.job.retried_failures import may_pass, reasons_to_retry
from frieze.embedder.job.run import Progress
from frieze.embedder.job.select_engine import choose_engine
from frieze.embedder.job.timing import Stages
from frieze.embedder.sources import Source
from frieze.features import (
    Manifest,
    check_only_table_files,
    compare,
    count_vanished,
    is_features,
    keep_rows_of_empty,
    read_failures,
    read_manifest,
    read_stored,
    resume_manifest,
    to_failures,
)

_LONGEST_S = 5.0
"""For how many seconds at most images are embedded to see how fast it goes."""
_NONE_MOVED = np.empty(0, np.int64)  # which only a look at their bytes would show
_ROW_BYTES = 100
"""About what names, hash and sizes of an image take in a part."""


def estimate_source(
    source: Any,
    out: TablePath,
    *,
    request: BackboneRequest,
    options: JobOptions,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Tell what `embed_source` would do; nothing is written.

    Args:
        source: What `open_source` takes.
        out: The table's folder, there or not.
        request: The backbone; loaded only where something is to be embedded.
        options: How.
        progress: Told as `embed_source` tells it, up to the first image.

    Returns:
        The document of `frieze embed --dry-run --json`. Equal bytes under other names are only found by the run itself.

    Raises:
        InputError: Something the user can mend.
    """
    began = time.perf_counter()
    opened = open_job(source, out, options, progress)
    open_checked = _check(out, Task(opened, request, options, began))
    rows, counts = _pending(opened, out, options)
    document = {"dry_run": True, "out": str(out), "free_bytes": _free_bytes(out), "to_embed": len(rows)} | counts
    if len(rows) == 0:
        return document | {"bytes": 0, "images_per_second": 0.0, "seconds": 0.0, "startup_seconds": 0.0}
    progress(0, len(rows))
    backbone = open_checked()
    rate, started = _measure(opened, rows, backbone, options, out)
    return document | {
        "backbone": backbone.spec.name,
        "dim": backbone.spec.dim,
        "pixels": backbone.spec.pixels,
        "bytes": len(rows) * (4 * backbone.spec.dim + _ROW_BYTES),
        "images_per_second": round(rate, 1),
        "seconds": round(len(rows) / rate, 1),
        "startup_seconds": round(started - began, 3),
    }


def _check(out: TablePath, task: Task) -> Callable[[], Backbone]:
    """Refuse what the run would refuse of a table; gives what loads the backbone, which may be loaded by then."""
    if is_features(out) and not task.options.force:
        manifest, backbone = task.brings(out)
        resume_manifest(out, manifest)
        return lambda: backbone or task.reopened(manifest)
    if is_features(out):
        check_only_table_files(out)
    return lambda: open_backbone(task.request)


def _pending(source: Source, out: TablePath, options: JobOptions) -> tuple[Rows, dict[str, Any]]:
    """Give the listing's rows to embed, and count the others."""
    listing = source.listing
    goes_on = is_features(out) and not options.force
    failed = read_failures(out) if goes_on else to_failures(listing.failures)
    counts = source.to_json(failed)
    if not goes_on:
        nothing = {"unchanged": 0, "relabelled": 0, "removed": 0, "removed_folders": {}, "kept_folders": {}}
        return np.arange(len(listing.images))[: options.limit], counts | nothing
    stored = read_stored(out)
    retried = may_pass(failed, reasons_to_retry(out, options))
    comparison = compare(listing.images, stored, failed, unlisted=listing.failures, retried=retried)
    comparison, kept, _ = keep_rows_of_empty(comparison, _NONE_MOVED, listing.empty)
    counts |= {
        "unchanged": int(comparison.same_size_and_mtime.sum()),
        "relabelled": 0
        if options.retry_failures
        else int((comparison.is_relabelled & comparison.same_size_and_mtime).sum()),
        "removed": int(comparison.removed.sum()),
        "removed_folders": count_vanished(comparison, np.flatnonzero(comparison.removed)),
        "kept_folders": kept,
    }
    pending = (
        comparison.is_among_failed
        if options.retry_failures
        else ~(comparison.same_size_and_mtime | comparison.has_failed)
    )
    return np.flatnonzero(pending)[: options.limit], counts


def _measure(
    source: Source, rows: Rows, backbone: Backbone, options: JobOptions, out: TablePath
) -> tuple[float, float]:
    """Embed a few images spread over all rows: gives images a second, and when the first was read.

    The first batch is not counted where there are others: it waits for the pipeline to fill.
    """
    max_pixels = options.limits.max_pixels
    goes_on = is_features(out) and not options.force
    stored = read_manifest(out) if goes_on else Manifest(spec=backbone.spec, source=source.listing.source)
    probe = CalibrationSample(source, rows, backbone.spec, max_pixels)
    choice = choose_engine(backbone, options, probe, stored)
    batches = stream(
        [probe.sample],
        Decoder(source, backbone.spec, max_pixels=max_pixels),
        batch_size=choice.batch_size,
        workers=choice.workers,
        device=choice.engine.device,
    )
    done, start = [0], [time.perf_counter()]
    with contextlib.closing(batches):
        for batch, _, _ in embed_batches(batches, choice.engine, EmbeddingCache(_learned_nothing, {}), Stages()):
            done.append(done[-1] + len(batch.piece.rows))
            start.append(time.perf_counter())
            if start[-1] - start[0] > _LONGEST_S:
                break
    first = 1 if len(done) > 2 else 0  # noqa: PLR2004  two batches: one to fill the pipeline, one to measure
    return (done[-1] - done[first]) / (start[-1] - start[first]), start[0]


def _learned_nothing(part: int) -> Any:
    raise ValueError(f"part {part} of a table that is not written")


def _free_bytes(out: TablePath) -> int | None:
    """Give what is free where a table is to lie; None of a bucket, which has no end."""
    if isinstance(out, BucketPath):
        return None
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    return shutil.disk_usage(there).free

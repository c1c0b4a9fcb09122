"""Dry run: estimate what a run would embed and how long it would take, measured on a few images."""

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frieze.core import BucketPath, Rows, TablePath
from frieze.embedder.backbones import Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.embed import EmbedJob, TableRequest, list_source
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import embed_rows, open_pool
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.run import Progress, failures_to_retry, reasons_to_retry
from frieze.embedder.job.select_engine import choose_engine
from frieze.embedder.job.timing import StageTimes
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
"""How long images are embedded at most to measure the speed."""
_NO_RENAMES = np.empty(0, np.int64)  # found only by reading the images
_ROW_BYTES = 100
"""About the bytes of an image's id, hash and sizes in a part."""


def estimate_source(
    source: Any,
    out: TablePath,
    *,
    request: BackboneRequest,
    options: JobOptions,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Estimate what `embed_source` would do; nothing is written.

    Args:
        source: What `open_source` takes.
        out: The table's folder; it need not exist.
        request: The backbone; loaded only if something is to be embedded.
        options: How.
        progress: Called as by `embed_source`, up to the first image.

    Returns:
        The document of `frieze embed --dry-run --json`. Only the run itself finds equal bytes under other names.

    Raises:
        InputError: Something the user can fix.
    """
    (document,) = estimate_tables(source, [TableRequest(out, request, options)], progress=progress)
    return document


def estimate_tables(
    source: Any, tables: Sequence[TableRequest], *, progress: Progress = lambda _done, _total: None
) -> list[dict[str, Any]]:
    """Estimate what `embed_tables` would do; nothing is written.

    Args:
        source: What `open_source` takes; listed once.
        tables: As `embed_tables` takes them.
        progress: As in `estimate_source`.

    Returns:
        A document of each table as if it were embedded by itself: together they take less time.
    """
    started_at = time.perf_counter()
    opened = list_source(source, tables, progress)
    return [_estimate(EmbedJob.of(one, opened, started_at, progress), one.out) for one in tables]


def _estimate(job: EmbedJob, out: TablePath) -> dict[str, Any]:
    load_backbone = _check_table(out, job)
    source, options, progress = job.source, job.options, job.progress
    rows, counts = _pending(source, out, options)
    document = {"dry_run": True, "out": str(out), "free_bytes": _free_bytes(out), "to_embed": len(rows)} | counts
    if len(rows) == 0:
        return document | {"bytes": 0, "images_per_second": 0.0, "seconds": 0.0, "startup_seconds": 0.0}
    progress(0, len(rows))
    backbone = load_backbone()
    rate, first_read_at = _measure(source, rows, backbone, options, out)
    return document | {
        "backbone": backbone.spec.name,
        "dim": backbone.spec.dim,
        "pixels": backbone.spec.pixels,
        "bytes": len(rows) * (4 * backbone.spec.dim + _ROW_BYTES),
        "images_per_second": round(rate, 1),
        "seconds": round(len(rows) / rate, 1),
        "startup_seconds": round(first_read_at - job.started_at, 3),
    }


def _check_table(out: TablePath, job: EmbedJob) -> Callable[[], Backbone]:
    """Check the table as the run would; return what loads the backbone, unless it is loaded already."""
    if is_features(out) and not job.options.force:
        manifest, backbone = job.find_manifest(out)
        resume_manifest(out, manifest)
        return lambda: backbone or job.reopen_backbone(manifest)
    if is_features(out):
        check_only_table_files(out)
    return lambda: open_backbone(job.request)


def _pending(source: Source, out: TablePath, options: JobOptions) -> tuple[Rows, dict[str, Any]]:
    """Return the listing's rows to embed, and the counts of the others."""
    listing = source.listing
    is_update = is_features(out) and not options.force
    failed = read_failures(out) if is_update else to_failures(listing.failures)
    counts = source.to_json(failed)
    if not is_update:
        nothing = {"unchanged": 0, "relabelled": 0, "removed": 0, "removed_folders": {}, "kept_folders": {}}
        return np.arange(len(listing.images))[: options.limit], counts | nothing
    retried = failures_to_retry(failed, reasons_to_retry(out, options))
    comparison = compare(listing.images, read_stored(out), failed, unlisted=listing.failures, retried=retried)
    comparison, kept_folders, _ = keep_rows_of_empty(comparison, _NO_RENAMES, listing.empty)
    is_unchanged = comparison.same_size_and_mtime
    counts |= {
        "unchanged": int(is_unchanged.sum()),
        "relabelled": 0 if options.retry_failures else int((comparison.is_relabelled & is_unchanged).sum()),
        "removed": int(comparison.removed.sum()),
        "removed_folders": count_vanished(comparison, np.flatnonzero(comparison.removed)),
        "kept_folders": kept_folders,
    }
    is_pending = comparison.is_among_failed if options.retry_failures else ~(is_unchanged | comparison.has_failed)
    return np.flatnonzero(is_pending)[: options.limit], counts


def _measure(
    source: Source, rows: Rows, backbone: Backbone, options: JobOptions, out: TablePath
) -> tuple[float, float]:
    """Embed a sample of the rows; return images per second, and when the first image was read.

    The first batch is not counted if there are others: it waits for the pipeline to fill.
    """
    is_update = is_features(out) and not options.force
    stored = read_manifest(out) if is_update else Manifest(spec=backbone.spec, source=source.listing.source)
    sample = CalibrationSample(source, rows, backbone.spec, options.limits)
    choice = choose_engine(backbone, options, sample, stored, out)
    statistics = stored.has_statistics if is_update else options.stats
    n_done, at = [0], [time.perf_counter()]
    with (
        open_pool(
            choice,
            options.limits,
            hashes=not is_update or stored.has_perceptual_hashes,
            statistics=statistics,
        ) as pool,
        embed_rows([sample.sampled_rows], source, choice, EmbeddingCache(), StageTimes(), pool) as batches,
    ):
        for embedded in batches:
            n_done.append(n_done[-1] + len(embedded.batch.requested.rows))
            at.append(time.perf_counter())
            if at[-1] - at[0] > _LONGEST_S:
                break
    first = 1 if len(n_done) > 2 else 0  # noqa: PLR2004  two batches: one to fill the pipeline, one to measure
    return (n_done[-1] - n_done[first]) / (at[-1] - at[first]), at[0]


def _free_bytes(out: TablePath) -> int | None:
    """Return the free bytes of the table's disk; None for a bucket, which has no limit."""
    if isinstance(out, BucketPath):
        return None
    existing = next(folder for folder in (out, *out.parents) if folder.exists())
    return shutil.disk_usage(existing).free

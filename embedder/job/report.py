"""The report of a run: the JSON document of `frieze embed`."""

import time
from typing import Any

from frieze.embedder.backbones.catalogue import BUILTIN
from frieze.embedder.job.run import Run, RunStats
from frieze.embedder.job.timing import RunFacts, explain
from frieze.features import count_reasons, count_vanished


def to_document(run: Run, stats: RunStats, pixels: dict[str, str | None]) -> dict[str, Any]:
    """Return the document of `frieze embed --json`.

    Args:
        run: The run, after its last commit.
        stats: What it embedded.
        pixels: Where the network's range of pixels is known from.
    """
    writer, plan, manifest = run.writer, run.plan, run.writer.manifest
    seconds = stats.finished_at - stats.first_read_at
    return {
        **run.source.to_json(writer.failed),
        "embedded": stats.n_embedded,
        "unchanged": plan.n_unchanged,
        "relabelled": plan.n_relabelled,
        "renamed": plan.n_renamed,
        "duplicates": stats.n_stored - stats.n_embedded + plan.n_copied,
        "removed": plan.n_removed,
        "removed_folders": count_vanished(run.comparison, plan.removed),
        "kept_folders": run.kept_folders,
        "failed": manifest.n_failed,
        "failures": count_reasons(writer.failed),
        "left": plan.n_left,
        **stats.tally.to_json(),
        "rows": manifest.n_rows,
        "seconds": round(seconds, 3),
        "images_per_second": round(stats.n_embedded / seconds, 1) if seconds else 0.0,
        "startup_seconds": round((stats.first_read_at or time.perf_counter()) - run.started_at, 3),
        **_timing(run, stats, seconds),
        "dim": manifest.spec.dim,
        "backbone": manifest.spec.name,
        "engine": manifest.engine,
        "decode_processes": bool(manifest.tuning.get("decode_processes") or run.options.limits.image_timeout),
        "batch_size": manifest.tuning.get("batch_size"),
        "precision": manifest.spec.precision,
        **_int8(manifest.tuning),
        "pixels": manifest.spec.pixels,
        **pixels,
        "drift": manifest.spec.drift,
        "broken_parts": writer.broken_parts,
        "out": str(writer.path),
    }


def _int8(tuning: dict[str, Any]) -> dict[str, Any]:
    """Return the layers that stay in float32 beside those in int8; nothing in other precisions."""
    return {"float32_layers": tuning["int8"]["float32_layers"]} if "int8" in tuning else {}


def _timing(run: Run, stats: RunStats, seconds: float) -> dict[str, Any]:
    """Return the seconds of each stage, and what bounds the run; None where nothing was embedded."""
    timing: dict[str, Any] = stats.times.to_json()
    if stats.nodes:
        timing["nodes"] = {name: times.to_json() for name, times in sorted(stats.nodes.items())}
        timing["cluster_notes"] = stats.cluster_notes
    timing["other_programs"] = None if stats.load is None else round(stats.load.others, 3)
    if not stats.n_embedded:
        return timing | {"bound_by": None, "advice": None}
    facts = RunFacts(
        seconds=seconds * stats.n_workers,
        cores=stats.cores,
        load=stats.load,
        workers=run.options.workers,
        is_fastest=run.writer.manifest.spec.handle == BUILTIN,
    )
    bottleneck = explain(stats.times.waited, stats.times.cpu, facts)
    return timing | {"bound_by": bottleneck.stage, "advice": bottleneck.advice}

"""Building an index over a table of features, or leaving a fitting one alone."""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features import (
    METRICS,
    BackboneSpec,
    FeatureFileError,
    Features,
    InputError,
    check_same_backbone,
    new_folder,
)
from index.choosing import Choice, Task, choose
from index.index_files import (
    CONTRACT,
    FAISS_NAME,
    ROWS_NAME,
    describe_files,
    held,
    next_generation,
    stored_document,
    sweep,
    write_document,
)
from index.kinds import KINDS
from index.recall import make_probe, measure_ms
from index.rows import write_rows
from index.search import open_index
from index.searcher import Searcher, load, save

_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
_REPORTED = (
    "rows",
    "dim",
    "recipe",
    "metric",
    "recall_at_10",
    "ms_per_query",
    "bytes",
    "build_seconds",
    "peak_memory_bytes",
    "nprobe",
    "why",
)


def build_index(
    features: Features,
    out: Path,
    *,
    metric: str = "cosine",
    recall: float = 0.95,
    kind: str = "auto",
    force: bool = False,
) -> dict[str, Any]:
    """Make `out` an index of a table; nothing is done where it is one already, made the same way.

    A new index is written beside the old one and takes its place in one step.

    Args:
        features: The table, N >= 1 rows.
        out: The index's folder.
        metric: `cosine`, `dot` or `l2`.
        recall: Recall@10 to reach, in (0, 1].
        kind: A key of `KINDS`, or `auto`.
        force: Build in any case, also over an index of another backbone or a broken one.

    Returns:
        The document of `frieze index --json`: `rows, dim, kind, recipe, metric, recall_at_10, ms_per_query, bytes,
        build_seconds, peak_memory_bytes`, and `index` (its path), `nprobe` (None for exact), `why` (this kind),
        `rebuilt` (whether anything was done).

    Raises:
        InputError: An option is out of range, or the table has no rows.
        FeatureFileError: `out` holds something that is no index, the table is broken, or the disk refuses.
        MismatchError: `out` holds an index of another backbone, and `force` is not set.
    """
    out = out.absolute()  # Arrow takes a relative path with a colon for a URL
    _check(features, metric=metric, recall=recall, kind=kind)
    request = {"metric": metric, "kind": kind, "recall": recall}
    stored_document(out, force=force)  # a foreign folder is refused before a lock is put into it
    with held(out):
        before = stored_document(out, force=force)
        if before and not force:
            _check_backbone(features.spec, before, out)
        sweep(out, live=before["generation"] if before else None)
        if before and not force and _is_fresh(before, features, request=request, out=out):
            return _report(before, out, rebuilt=False)
        document = _write_generation(features, request, next_generation(out))
        write_document(out, document)
        sweep(out, live=document["generation"])
    return _report(document, out, rebuilt=True)


def _check(features: Features, *, metric: str, recall: float, kind: str) -> None:
    if metric not in METRICS:
        raise InputError(f"Unknown metric: {metric}.", mend=f"Use one of: {', '.join(METRICS)}.")
    if kind not in KINDS and kind != "auto":
        raise InputError(f"Unknown kind of index: {kind}.", mend=f"Use one of: auto, {', '.join(KINDS)}.")
    if not 0 < recall <= 1:
        raise InputError(f"The recall is {recall}.", mend="Use a number above 0 and up to 1, such as 0.95.")
    if len(features) == 0:
        raise InputError(
            f"{features.path} holds no rows to index.",
            mend=f"Embed images into it: frieze embed SOURCE --out {features.path}",
        )


def _check_backbone(spec: BackboneSpec, before: dict[str, Any], out: Path) -> None:
    check_same_backbone(
        spec,
        BackboneSpec.from_json(before["features"]["backbone"]),
        where=str(out),
        mend=f"Give another --out, or replace {out} with --force.",
    )


def _is_fresh(before: dict[str, Any], features: Features, *, request: dict[str, Any], out: Path) -> bool:
    """Tell whether the index there is whole and is what a new one would be."""
    if before["request"] != request or before["features"]["generation"] != features.manifest.generation:
        return False
    try:
        open_index(out)
    except FeatureFileError:
        return False
    return True


def _write_generation(features: Features, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Build an index into a new folder that appears whole; give its index.json."""
    begun = time.perf_counter()
    metric = request["metric"]
    with new_folder(folder, replace=False) as staging:
        task = Task(features, make_probe(features, metric), metric, request["recall"])
        choice = choose(task, request["kind"])
        save(choice.searcher, staging / FAISS_NAME)
        write_rows(features.rows, staging / ROWS_NAME)
        files = describe_files(staging)
        measured = {
            "ms_per_query": _measure_stored(choice, task, staging),
            "bytes": sum(file["size_bytes"] for file in files.values()),
        }
    measured["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
    measured["build_seconds"] = time.perf_counter() - begun
    return _describe(task, choice) | measured | {"request": request, "generation": folder.name, "files": files}


def _measure_stored(choice: Choice, task: Task, folder: Path) -> float:
    raw = load(folder / FAISS_NAME, mend="Type the same command again.")
    stored = Searcher(raw, kind=choice.kind, metric=task.metric, effort=choice.searcher.effort)
    return measure_ms(stored, task.probe)


def _describe(task: Task, choice: Choice) -> dict[str, Any]:
    import faiss

    return {
        "contract": CONTRACT,
        "kind": "index",
        "index_kind": choice.kind,
        "recipe": choice.recipe,
        "metric": task.metric,
        "rows": len(task.features),
        "dim": task.features.spec.dim,
        "recall_target": task.target,
        "recall_at_10": choice.recall,
        "nprobe": choice.searcher.effort if KINDS[choice.kind].knob else None,
        "why": choice.why,
        "features": {
            "path": str(task.features.path.absolute()),
            "generation": task.features.manifest.generation,
            "backbone": task.features.spec.to_json(),
        },
        "versions": {"faiss": faiss.__version__, "numpy": np.__version__, "pyarrow": pa.__version__},
    }


def _report(document: dict[str, Any], out: Path, *, rebuilt: bool) -> dict[str, Any]:
    figures = {name: document[name] for name in _REPORTED}
    return figures | {"index": str(out), "kind": document["index_kind"], "rebuilt": rebuilt}

"""Build an index of a table of features, refresh it, or leave a current one alone."""

import contextlib
import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import (
    FeatureFileError,
    InputError,
    MismatchError,
    TablePath,
    connect_to_ray,
    format_size,
    new_folder,
    parse_size,
    peak_memory,
    to_table_path,
    trim_memory,
)
from frieze.features import METRICS, BackboneSpec, Features, check_same_backbone, is_features
from frieze.indexing.build.add_on_ray import RayPopulator
from frieze.indexing.build.build_request import FETCHED_SHARE, BuildRequest
from frieze.indexing.build.choose_kind import Choice, choose
from frieze.indexing.build.recall import compute_ground_truth
from frieze.indexing.build.refresh import count_changes, refresh
from frieze.indexing.build.train_and_add import LocalPopulator, Populator
from frieze.indexing.faiss_layer.kinds import KINDS
from frieze.indexing.faiss_layer.searcher import save
from frieze.indexing.faiss_layer.vectors import write_vectors
from frieze.indexing.storage.generations import (
    CONTRACT,
    FAISS_NAME,
    ROWS_NAME,
    VECTORS_NAME,
    delete_old_generations,
    describe_files,
    lock_for_writing,
    next_generation,
    read_existing_document,
    write_document,
)
from frieze.indexing.storage.row_metadata import write_rows
from frieze.indexing.stored_index import open_index

_REPORTED = (
    "rows",
    "dim",
    "n_zero",
    "recipe",
    "metric",
    "recall_at_10",
    "recall_interval",
    "recall_queries",
    "recall_at_100",
    "many_meets_target",
    "recall_target",
    "meets_target",
    "queries_per_second",
    "ms_per_query",
    "bytes",
    "memory_bytes",
    "build_seconds",
    "peak_memory_bytes",
    "effort",
    "effort_at_100",
    "why",
    "tried",
    "changes",
)


def build_index(  # noqa: PLR0913  the mirror of a command
    features: Features,
    out: Path,
    *,
    metric: str = "cosine",
    recall: float = 0.95,
    kind: str = "auto",
    max_memory: str | int | None = None,
    max_build_memory: str | int | None = None,
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Build an index of a table in `out`, or refresh it; an index that is current stays as it is.

    A new generation is written beside the old one and replaces it atomically. The training of an older generation with
    the same options is reused as long as its recall suffices.

    Args:
        features: The table, N >= 1 rows.
        out: The index's folder.
        metric: `cosine`, `dot` or `l2`.
        recall: Recall@10 to reach, in (0, 1].
        kind: A key of `KINDS`, or `auto`.
        max_memory: Memory limit while the index serves, such as `500MB`; None for no limit.
        max_build_memory: Memory limit for building, beyond the process's start; None for no limit.
        force: Rebuild in any case, also over an index of another table or a broken one.
        ray: `auto` or the address of a Ray cluster whose machines add the rows; None for this process.

    Returns:
        The document of `frieze index --json`; docs/json.md describes its fields.

    Raises:
        InputError: An option is out of range, the table has no rows, or no kind meets the recall within the limits.
        FeatureFileError: `out` holds something other than an index, the table is broken, or the disk can't be written.
        MismatchError: `out` holds an index of another table or backbone, and `force` is not set.
    """
    out = out.absolute()  # Arrow takes a relative path with a colon for a URL
    _check(features, metric=metric, recall=recall, kind=kind, max_memory=max_memory)
    max_build_bytes = parse_size(max_build_memory) if max_build_memory is not None else None
    options = {"metric": metric, "kind": kind, "recall": recall, "max_memory": max_memory and str(max_memory)}
    read_existing_document(out, force=force)  # a foreign folder is refused before a lock is put into it
    with lock_for_writing(out):
        before = read_existing_document(out, force=force)
        if before and not force:
            _check_backbone(features.spec, before, out)
            _check_same_table(features.path, before["features"]["path"], out)
        delete_old_generations(out, live=before["generation"] if before else None)
        usable = before if before and not force and _is_usable(before, options, out) else None
        if usable and usable["features"]["generation"] == features.manifest.generation:
            return _report(_with_spec(usable, features.spec, out), out, rebuilt=False)
        with _connect_populator(ray) as populator:
            document = _write_generation(
                features, options, next_generation(out), max_build_bytes, populator, before=usable
            )
        write_document(out, document)
        delete_old_generations(out, live=document["generation"])
    return _report(document, out, rebuilt=True)


def _check(features: Features, *, metric: str, recall: float, kind: str, max_memory: str | int | None) -> None:
    if metric not in METRICS:
        raise InputError(f"Unknown metric: {metric}.", hint=f"Use one of: {', '.join(METRICS)}.")
    if kind not in KINDS and kind != "auto":
        raise InputError(f"Unknown kind of index: {kind}.", hint=f"Use one of: auto, {', '.join(KINDS)}.")
    if max_memory is not None:
        parse_size(max_memory)
    if not 0 < recall <= 1:
        raise InputError(f"The recall is {recall}.", hint="Use a number above 0 and up to 1, such as 0.95.")
    if len(features) == 0:
        raise InputError(
            f"{features.path} holds no rows to index.",
            hint=f"Embed images into it: frieze embed SOURCE --out {features.path}",
        )


def _check_backbone(spec: BackboneSpec, before: dict[str, Any], out: Path) -> None:
    check_same_backbone(
        spec,
        BackboneSpec.from_json(before["features"]["backbone"]),
        where=str(out),
        hint=f"Use another `out`, or replace {out} with `force=True`.",
    )


def _check_same_table(table: TablePath, indexed: str, out: Path) -> None:
    """Refuse another table than the indexed one; one that was moved is the same."""
    if str(table.absolute()) == indexed:
        return
    other = to_table_path(indexed)
    if not is_features(other) or (isinstance(table, Path) and isinstance(other, Path) and table.samefile(other)):
        return
    raise MismatchError(
        f"{out} is an index of another table, {indexed}.",
        hint=f"Use another `out`, or replace {out} with `force=True`.",
    )


def _is_usable(before: dict[str, Any], options: dict[str, Any], out: Path) -> bool:
    """Return whether the existing index is intact, has the same options and an unbiased recall.

    Before `recall_queries` was stored, a graph was measured by rows that it contained, which overstated its recall.
    """
    overstates = KINDS[before["index_kind"]].is_graph and "recall_queries" not in before
    if before["request"] != options or overstates:
        return False
    try:
        open_index(out)
    except FeatureFileError:
        return False
    return True


def _with_spec(document: dict[str, Any], spec: BackboneSpec, out: Path) -> dict[str, Any]:
    """Store the backbone of a table in the index.json of a current index: its path or text tower may be another one."""
    stored = document["features"]
    if stored["backbone"] == spec.to_json():
        return document
    document = document | {"features": stored | {"backbone": spec.to_json()}}
    write_document(out, document)
    return document


def _write_generation(
    features: Features,
    options: dict[str, Any],
    folder: Path,
    max_build_bytes: int | None,
    populator: Populator,
    *,
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """Build an index into a new folder that appears atomically; return its index.json."""
    begun = time.perf_counter()
    old = folder.parent / before["generation"] if before else None
    max_bytes = parse_size(options["max_memory"]) if options["max_memory"] else None
    with new_folder(folder, replace=False) as staging, _explain_memory_error(features):
        vectors = write_vectors(features, staging / VECTORS_NAME, metric=options["metric"])
        trim_memory()
        vectors.max_fetched_bytes = None if max_build_bytes is None else int(max_build_bytes * FETCHED_SHARE)
        request = BuildRequest(
            vectors, compute_ground_truth(vectors), options["recall"], max_bytes, max_build_bytes, populator
        )
        choice = (refresh(request, old, before) if old and before else None) or choose(request, options["kind"])
        vectors.release()  # writing takes memory, too
        trim_memory()
        if choice.searcher.faiss_index is not None:
            save(choice.searcher.faiss_index, staging / FAISS_NAME)
        write_rows(features.row_tables(), staging / ROWS_NAME)
        document = _describe(features, request, choice) | {
            "request": options,
            "generation": folder.name,
            "files": describe_files(staging),
            "n_zero": vectors.n_zero,
            "changes": count_changes(old / ROWS_NAME, staging / ROWS_NAME) if old else None,
            "trained_rows": before["trained_rows"] if before and choice.is_refreshed else len(features),
        }
        return document | _measure_size(document, begun)


@contextlib.contextmanager
def _explain_memory_error(features: Features) -> Iterator[None]:
    """Turn an out-of-memory error into one that says how to build with less.

    Raises:
        InputError: There is not enough memory.
    """
    try:
        yield
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        size = format_size(4 * len(features) * features.spec.dim)
        raise InputError(
            f"There is not enough memory to index {len(features):,} rows of width {features.spec.dim} ({size}).",
            hint="Close other programs, or build within less: `max_build_memory='500MB'`, or `kind='exact'`.",
        ) from error


@contextlib.contextmanager
def _connect_populator(address: str | None) -> Iterator[Populator]:
    """Yield what adds rows to the index: this process, or a Ray cluster."""
    if address is None:
        yield LocalPopulator()
        return
    with connect_to_ray(address) as ray:
        yield RayPopulator(ray)


def _measure_size(document: dict[str, Any], begun: float) -> dict[str, Any]:
    """Measure the size of an index, and the time and memory of its build."""
    sizes = {name: file["size_bytes"] for name, file in document["files"].items()}
    return {
        "bytes": sum(sizes.values()),
        "memory_bytes": sizes.get(FAISS_NAME, sizes[VECTORS_NAME]),
        "peak_memory_bytes": peak_memory(),
        "build_seconds": time.perf_counter() - begun,
    }


def _describe(features: Features, request: BuildRequest, choice: Choice) -> dict[str, Any]:
    import faiss

    searcher = choice.searcher
    return {
        "contract": CONTRACT,
        "kind": "index",
        "index_kind": searcher.kind,
        "recipe": choice.recipe,
        "metric": request.vectors.metric,
        "rows": len(features),
        "dim": features.spec.dim,
        "recall_target": request.target,
        "recall_at_10": choice.tuned.recall,
        "recall_interval": list(choice.tuned.interval),
        "recall_queries": None if searcher.faiss_index is None else len(request.ground_truth_for(searcher.kind).rows),
        "recall_at_100": choice.tuned_at_100.recall,
        "many_meets_target": choice.tuned_at_100.meets_target,
        "meets_target": choice.tuned.meets_target,
        "queries_per_second": choice.tuned.rate,
        "ms_per_query": choice.ms_per_query,
        "effort": searcher.search_params.to_json(kind=searcher.kind),
        "effort_at_100": searcher.search_params_at_100.to_json(kind=searcher.kind)
        if searcher.search_params_at_100
        else None,
        "why": choice.why,
        "tried": choice.tried,
        "features": {
            "path": str(features.path.absolute()),
            "generation": features.manifest.generation,
            "backbone": features.spec.to_json(),
        },
        "versions": {"faiss": faiss.__version__, "numpy": np.__version__, "pyarrow": pa.__version__},
    }


def _report(document: dict[str, Any], out: Path, *, rebuilt: bool) -> dict[str, Any]:
    figures = {name: document.get(name) for name in _REPORTED}  # some are younger than the contract
    return figures | {"index": str(out), "kind": document["index_kind"], "rebuilt": rebuilt}

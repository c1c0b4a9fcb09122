"""Refresh an index without retraining: add today's rows to the trained parts of an older generation."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from frieze.core import Rows
from frieze.indexing.build.build_request import BuildRequest
from frieze.indexing.build.choose_kind import Choice, finalize
from frieze.indexing.build.recall import interval, measure_recall
from frieze.indexing.build.tune_search import Tuned, meets_target, tune
from frieze.indexing.faiss_layer.kinds import write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams, all_cores
from frieze.indexing.storage.generations import FAISS_NAME

_MAX_GROWTH = 2.0
"""Factor by which a collection may grow or shrink before its lists are too few or too many."""
_SINCE = " Since then "


def refresh(request: BuildRequest, old: Path, before: dict[str, Any]) -> Choice | None:
    """Add all current rows to the trained index of an older generation, without retraining.

    Args:
        request: Vectors, recall target and memory limits.
        old: The older generation's folder.
        before: Its index.json.

    Returns:
        The index, tuned again where recall has dropped. None where a kind has to be chosen again: the index was exact,
        this version builds the kind differently, the collection has grown or shrunk too much or exceeds the memory
        limits, or no search parameters meet the target.
    """
    if before["index_kind"] == "exact" or not _is_usable(request, before):
        return None
    searcher, ground_truth = _with_current_rows(request, old, before), request.ground_truth_for(before["index_kind"])
    recalls = measure_recall(searcher, ground_truth)
    stale = float(recalls.mean())
    tuned = Tuned(
        searcher.search_params, stale, meets_target=True, rate=before["queries_per_second"], interval=interval(recalls)
    )
    if not meets_target(recalls, request.target):
        tuned = tune(searcher, ground_truth, target=request.target)
    if not tuned.meets_target:
        return None
    why = before["why"].partition(_SINCE)[0] + f"{_SINCE}refreshed without retraining: recall {stale:.3f}."
    return finalize(request, Choice(searcher, before["recipe"], tuned, why, before["tried"], is_refreshed=True))


def _is_usable(request: BuildRequest, before: dict[str, Any]) -> bool:
    kind, n_before = before["index_kind"], before["trained_rows"]
    is_same = before["recipe"] == write_recipe(kind, n_before, request.vectors.dim)
    return is_same and request.fits(kind) and 1 / _MAX_GROWTH <= len(request.vectors) / n_before <= _MAX_GROWTH


def _with_current_rows(request: BuildRequest, old: Path, before: dict[str, Any]) -> Searcher:
    import faiss

    kind = before["index_kind"]
    left_out = request.ground_truth_for(kind).left_out
    faiss_index = faiss.read_index(str(old / FAISS_NAME))
    faiss_index.reset()
    with all_cores():
        request.populator.add(faiss_index, request.vectors, left_out)
    searcher = Searcher.over(request.vectors, faiss_index, kind=kind, left_out=left_out)
    searcher.search_params = SearchParams.from_json(before["effort"], kind=kind)
    return searcher


def count_changes(old: Path, new: Path) -> dict[str, int]:
    """Count the images that were added, removed, and replaced by other bytes between two rows.parquet."""
    (names, images), (names_now, images_now) = _hashes(old), _hashes(new)
    n_kept = len(np.intersect1d(names, names_now, assume_unique=True))
    return {
        "added": len(names_now) - n_kept,
        "removed": len(names) - n_kept,
        "replaced": n_kept - len(np.intersect1d(images, images_now, assume_unique=True)),
    }


def _hashes(path: Path) -> tuple[Rows, Rows]:
    """Compute a hash of each row's id, and one of its id and content: int64 [N] each."""
    names, images = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["id", "sha256"]):
            pairs = list(zip(batch["id"].to_pylist(), batch["sha256"].to_pylist(), strict=True))
            names.append(np.array([hash(name) for name, _ in pairs], np.int64))
            images.append(np.array([hash(pair) for pair in pairs], np.int64))
    return np.concatenate(names), np.concatenate(images)

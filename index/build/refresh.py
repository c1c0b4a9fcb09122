"""Bringing an index up to date without learning anew: what an older one was trained to is filled again."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from frieze.core import Rows
from frieze.indexing.build.build_request import BuildRequest
from frieze.indexing.build.choose_kind import Choice, settle
from frieze.indexing.build.recall import interval, measure_recall
from frieze.indexing.build.tune_search import Tuned, reaches, tune
from frieze.indexing.faiss_layer.kinds import write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams, all_cores
from frieze.indexing.storage.generations import FAISS_NAME

_MOST_GROWTH = 2.0
"""By how much a collection may grow or shrink before its lists are too few or too many."""
_SINCE = " Since then "


def refresh(task: BuildRequest, old: Path, before: dict[str, Any]) -> Choice | None:
    """Fill what an older index has learnt with all rows of today.

    Args:
        task: What is asked for.
        old: The older generation's folder.
        before: Its index.json.

    Returns:
        The index, looking harder than before where it has to; None where it has to be chosen anew: it was exact, this
        version makes the kind in another way, the collection is another one by size or has outgrown the memory given,
        or too little is found at any effort.
    """
    if before["index_kind"] == "exact" or not _is_usable(task, before):
        return None
    searcher, probe = _filled(task, old, before), task.probe_for(before["index_kind"])
    recalls = measure_recall(searcher, probe)
    stale = float(recalls.mean())
    tuned = Tuned(searcher.effort, stale, does=True, rate=before["queries_per_second"], interval=interval(recalls))
    if not reaches(recalls, task.target):
        tuned = tune(searcher, probe, target=task.target)
    if not tuned.does:
        return None
    why = before["why"].partition(_SINCE)[0] + f"{_SINCE}filled anew with what it had learnt: recall {stale:.3f}."
    return settle(task, Choice(searcher, before["recipe"], tuned, why, before["tried"], is_refreshed=True))


def _is_usable(task: BuildRequest, before: dict[str, Any]) -> bool:
    kind, n_before = before["index_kind"], before["trained_rows"]
    is_same = before["recipe"] == write_recipe(kind, n_before, task.vectors.dim)
    return is_same and task.fits(kind) and 1 / _MOST_GROWTH <= len(task.vectors) / n_before <= _MOST_GROWTH


def _filled(task: BuildRequest, old: Path, before: dict[str, Any]) -> Searcher:
    import faiss

    kind = before["index_kind"]
    left_out = task.probe_for(kind).left_out
    codes = faiss.read_index(str(old / FAISS_NAME))
    codes.reset()
    with all_cores():
        task.adder.fill(codes, task.vectors, left_out)
    searcher = Searcher.over(task.vectors, codes, kind=kind, left_out=left_out)
    searcher.effort = SearchParams.from_json(before["effort"], kind=kind)
    return searcher


def count_changes(old: Path, new: Path) -> dict[str, int]:
    """Count the images that were added, removed, and replaced by other bytes, between two rows.parquet."""
    (names, images), (names_now, images_now) = _hashes(old), _hashes(new)
    n_kept = len(np.intersect1d(names, names_now, assume_unique=True))
    return {
        "added": len(names_now) - n_kept,
        "removed": len(names) - n_kept,
        "replaced": n_kept - len(np.intersect1d(images, images_now, assume_unique=True)),
    }


def _hashes(path: Path) -> tuple[Rows, Rows]:
    """Give of each row 8 bytes that stand for its id, and 8 for its id and content: int64 [N] each."""
    names, images = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["id", "sha256"]):
            pairs = list(zip(batch["id"].to_pylist(), batch["sha256"].to_pylist(), strict=True))
            names.append(np.array([hash(name) for name, _ in pairs], np.int64))
            images.append(np.array([hash(pair) for pair in pairs], np.int64))
    return np.concatenate(names), np.concatenate(images)

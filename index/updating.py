"""Bringing an index up to date without learning anew: what an older one was trained to is filled again."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from index.choosing import Choice
from index.filling import add_all
from index.index_files import FAISS_NAME
from index.recall import measure_recall
from index.searcher import Effort, Searcher, all_cores
from index.trials import Task
from index.tuning import Tuned, reaches, tune

_MOST_GROWTH = 2.0
"""By how much a collection may grow or shrink before its lists are too few or too many."""
_SINCE = " Since then "


def refresh(task: Task, old: Path, before: dict[str, Any]) -> Choice | None:
    """Fill what an older index has learnt with all rows of today.

    Args:
        task: What is asked for.
        old: The older generation's folder.
        before: Its index.json.

    Returns:
        The index, looking harder than before where it has to; None where it has to be chosen anew: it was exact, the
        collection is another one by size or has outgrown the memory given, or too little is found at any effort.
    """
    kind, grown = before["index_kind"], len(task.vectors) / before["trained_rows"]
    if kind == "exact" or not task.fits(kind) or not 1 / _MOST_GROWTH <= grown <= _MOST_GROWTH:
        return None
    searcher = _filled(task, old, before)
    recalls = measure_recall(searcher, task.probe)
    stale = float(recalls.mean())
    tuned = Tuned(searcher.effort, stale, does=True, rate=before["queries_per_second"])
    if not reaches(recalls, task.target):
        tuned = tune(searcher, task.probe, target=task.target)
    if not tuned.does:
        return None
    why = before["why"].partition(_SINCE)[0] + f"{_SINCE}filled anew with what it had learnt: recall {stale:.3f}."
    return Choice(searcher, before["recipe"], tuned, why, before["tried"], is_refreshed=True)


def _filled(task: Task, old: Path, before: dict[str, Any]) -> Searcher:
    import faiss

    kind = before["index_kind"]
    codes = faiss.read_index(str(old / FAISS_NAME))
    codes.reset()
    with all_cores():
        add_all(codes, task.vectors)
    effort = Effort.from_json(before["effort"], kind=kind)
    return Searcher(task.vectors.raw, codes, kind=kind, metric=task.vectors.metric, effort=effort)


def count_changes(old: Path, new: Path) -> dict[str, int]:
    """Count the images that were added, removed, and replaced by other bytes, between two rows.parquet."""
    before, after = (_digests(path) for path in (old, new))
    kept = before.keys() & after.keys()
    return {
        "added": len(after) - len(kept),
        "removed": len(before) - len(kept),
        "replaced": sum(before[name] != after[name] for name in kept),
    }


def _digests(path: Path) -> dict[str, str]:
    table = pq.read_table(path, columns=["id", "sha256"])
    return dict(zip(table["id"].to_pylist(), table["sha256"].to_pylist(), strict=True))

"""Rows whose images a source no longer has: keep those of folders that are empty now, count removed folders."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows, counted
from frieze.features.diff import Comparison, names_within
from frieze.features.failures import Failure

_LAST_NAME = r"(^|/)[^/]*$"


def keep_rows_of_empty(
    comparison: Comparison, source_rows: Rows, empty: Sequence[Failure]
) -> tuple[Comparison, dict[str, int], tuple[Failure, ...]]:
    """Keep the rows of folders that are empty now: a disk that is not mounted looks just like that.

    Args:
        comparison: The listing compared with the table.
        source_rows: As for `make_plan`; images that moved elsewhere are renamed, not kept.
        empty: The source's empty folders.

    Returns:
        The comparison in which these rows are not removed, the number of rows kept below each folder, and a failure
        for each of these folders.
    """
    rows = np.setdiff1d(np.flatnonzero(comparison.removed), source_rows)
    if not empty or not len(rows):
        return comparison, {}, ()
    by_name = {name: folder for folder in empty for name in (folder.id, folder.uri)}
    folders = [_find(by_name, *pair) for pair in _names(comparison.stored.take(pa.array(rows)))]
    kept = Counter(folder.id for folder in folders if folder is not None)
    removed = comparison.removed.copy()
    removed[rows[[folder is not None for folder in folders]]] = False
    failures = tuple(
        dataclasses.replace(folder, message=f"{folder.message}; {counted(kept[folder.id], 'row')} of it stay")
        for folder in empty
        if folder.id in kept
    )
    return dataclasses.replace(comparison, removed=removed), dict(kept), failures


def _names(rows: pa.Table) -> Iterable[tuple[str, str]]:
    return zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), strict=True)


def _find(by_name: Mapping[str, Failure], *names: str) -> Failure | None:
    """Return the empty folder that held an image, by its id or, where that is the user's own, by its uri."""
    return next((by_name[one] for name in names for one in names_within(name) if one in by_name), None)


def count_vanished(comparison: Comparison, removed: Rows) -> dict[str, int]:
    """Count removed rows by the folder that vanished with them, most first; rows of folders that remain do not count.

    Args:
        comparison: The listing compared with the table.
        removed: int64, the stored rows to remove.

    Returns:
        The topmost folder, shard or archive of which the source has no image any more, and its number of removed rows.
    """
    if not len(removed):
        return {}
    folders = pc.unique(pc.replace_substring_regex(comparison.images["id"], _LAST_NAME, "")).to_pylist()
    present = {name for folder in folders for name in names_within(folder)}
    vanished = Counter[str]()
    for name in comparison.stored["id"].take(pa.array(removed)).to_pylist():
        above = list(names_within(name))[1:]
        missing = [folder for folder in above if folder not in present]
        vanished.update(missing[-1:])
    return dict(vanished.most_common())

"""Rows whose images a source no longer has: which of them stay, and which whole folders go."""

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
    comparison: Comparison, origins: Rows, empty: Sequence[Failure]
) -> tuple[Comparison, dict[str, int], tuple[Failure, ...]]:
    """Keep the rows of folders in which nothing is any more: a disk that is not mounted looks just so.

    Args:
        comparison: A listing held against a table.
        origins: As for `make_plan`; what was moved elsewhere is renamed, not kept.
        empty: The source's empty folders.

    Returns:
        The comparison in which these rows are not gone, how many there are below which folder, and a failure for each
        of these folders.
    """
    rows = np.setdiff1d(np.flatnonzero(comparison.gone), origins)
    if not empty or not len(rows):
        return comparison, {}, ()
    by_name = {name: folder for folder in empty for name in (folder.id, folder.uri)}
    own = [_find(by_name, *pair) for pair in _names(comparison.stored.take(pa.array(rows)))]
    kept = Counter(folder.id for folder in own if folder is not None)
    gone = comparison.gone.copy()
    gone[rows[[folder is not None for folder in own]]] = False
    failures = tuple(
        dataclasses.replace(folder, message=f"{folder.message}; {counted(kept[folder.id], 'row')} of it stay")
        for folder in empty
        if folder.id in kept
    )
    return dataclasses.replace(comparison, gone=gone), dict(kept), failures


def _names(rows: pa.Table) -> Iterable[tuple[str, str]]:
    return zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), strict=True)


def _find(by_name: Mapping[str, Failure], *names: str) -> Failure | None:
    """Return the folder in which an image lay, by its id or, where that is the user's own, by its uri."""
    return next((by_name[one] for name in names for one in names_within(name) if one in by_name), None)


def count_vanished(comparison: Comparison, removed: Rows) -> dict[str, int]:
    """Count rows that leave the table by the folder that goes with them, most first; others are not counted.

    Args:
        comparison: A listing held against a table.
        removed: int64, the stored rows that go.

    Returns:
        The uppermost folder, shard or archive of which the source has no image any more, and how many rows of it go.
    """
    if not len(removed):
        return {}
    folders = pc.unique(pc.replace_substring_regex(comparison.images["id"], _LAST_NAME, "")).to_pylist()
    there = {name for folder in folders for name in names_within(folder)}
    gone = Counter[str]()
    for name in comparison.stored["id"].take(pa.array(removed)).to_pylist():
        above = list(names_within(name))[1:]
        lost = [folder for folder in above if folder not in there]
        gone.update(lost[-1:])
    return dict(gone.most_common())

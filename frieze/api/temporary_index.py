"""A temporary index of a table, and the near-duplicates that it finds."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frieze import terminal
from frieze.api.paths import scratch_folder
from frieze.core import Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.indexing import Index


@contextlib.contextmanager
def temporary_index(table: Features, near: Path) -> Iterator["Index"]:
    """Build an index that is deleted afterwards.

    Args:
        table: The table.
        near: A path beside which the index is written.
    """
    from frieze.indexing import build_index, open_index

    with scratch_folder(near) as folder:
        with terminal.spinner("Indexing"):
            build_index(table, folder / "index")
        yield open_index(folder / "index")


def number_rows(index: "Index") -> dict[str, int]:
    """Return the row number of each id."""
    return {name: row for row, name in enumerate(index.ids)}


@dataclasses.dataclass(frozen=True)
class DuplicateGroups:
    """Near-duplicates of an index.

    Attributes:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        min_score: Minimum score of a pair; None where there is nothing to compare.
    """

    groups: Rows
    min_score: float | None


def find_duplicate_groups(index: "Index", *, min_score: float | None = None) -> DuplicateGroups:
    """Find the near-duplicates of an index.

    Args:
        index: The index.
        min_score: Minimum score of a pair; estimated from the collection by default.
    """
    from frieze.indexing import find_duplicates

    rows, groups = number_rows(index), np.full(len(index), -1, np.int64)
    with terminal.progress("Comparing", "images") as step:
        document = find_duplicates(index, min_score=min_score, progress=step)
    for number, group in enumerate(document["groups"]):
        groups[[rows[name] for name in group["ids"]]] = number
    return DuplicateGroups(groups, document["min_score"])

"""Near-duplicates of a table, by an index made for the purpose."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frieze import terminal as output
from frieze.api.paths import scratch_folder
from frieze.core import Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.indexing import Index


@contextlib.contextmanager
def indexed(table: Features, near: Path) -> Iterator["Index"]:
    """Index a table for a moment; its rows are numbered as the table's.

    Args:
        table: The table.
        near: A place beside which the index may stand.
    """
    from frieze.indexing import build_index, open_index

    with scratch_folder(near) as folder:
        with output.waiting("Indexing"):
            build_index(table, folder / "index")
        yield open_index(folder / "index")


def number_rows(opened: "Index") -> dict[str, int]:
    """Give the row number of each id."""
    return {name: row for row, name in enumerate(opened.ids)}


@dataclasses.dataclass(frozen=True)
class Copies:
    """Near-duplicates of an index.

    Attributes:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        min_score: The lowest score of a pair; None where there is nothing to compare.
    """

    groups: Rows
    min_score: float | None


def find_copies(opened: "Index", *, min_score: float | None = None) -> Copies:
    """Find the near-duplicates of an index.

    Args:
        opened: The index.
        min_score: The lowest score of a pair; drawn from the collection by default.
    """
    from frieze.indexing import find_duplicates

    rows, groups = number_rows(opened), np.full(len(opened), -1, np.int64)
    with output.progress("Comparing", "images") as step:
        found = find_duplicates(opened, min_score=min_score, progress=step)
    for number, group in enumerate(found["groups"]):
        groups[[rows[name] for name in group["ids"]]] = number
    return Copies(groups, found["min_score"])

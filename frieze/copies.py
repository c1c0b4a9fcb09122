"""Near-duplicates of a table, by an index made for the purpose."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features import Features, Rows
from frieze import output
from frieze.scratch import scratch_folder

if TYPE_CHECKING:
    from index import Index


@contextlib.contextmanager
def indexed(table: Features, near: Path) -> Iterator["Index"]:
    """Index a table for a moment; its rows are numbered as the table's.

    Args:
        table: The table.
        near: A place beside which the index may stand.
    """
    from index import build_index, open_index

    with scratch_folder(near) as folder:
        with output.waiting("Indexing"):
            build_index(table, folder / "index")
        yield open_index(folder / "index")


def number_rows(opened: "Index") -> dict[str, int]:
    """Give the row number of each id."""
    return {name: row for row, name in enumerate(opened.ids)}


def find_copies(opened: "Index") -> Iterator[Rows]:
    """Find the rows int64 [n] of each group of near-duplicates."""
    from index import find_duplicates

    rows = number_rows(opened)
    with output.progress("Comparing", "images") as step:
        groups = find_duplicates(opened, progress=step)["groups"]
    return (np.array([rows[name] for name in group["ids"]]) for group in groups)

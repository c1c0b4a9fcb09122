"""How images are held out: the options of the command line as the classifiers take them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze.api.temporary_index import find_copies, indexed
from frieze.core import Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.classifiers import SplitConfig


def to_parting(table: Features, near: Path, *, group: str | None, **options: Any) -> "SplitConfig":
    """Give how a table's rows are parted.

    Args:
        table: The table.
        near: A place beside which an index of it may stand for a while.
        group: A column, or `duplicates`; None for rows on their own.
        **options: Other fields of `SplitConfig`.
    """
    from frieze.classifiers import SplitConfig

    by = {"groups": lambda: duplicate_groups(table, near)} if group == "duplicates" else {"group": group}
    return SplitConfig(**by, **options)


def duplicate_groups(table: Features, near: Path) -> Rows:
    """Number the groups of near-duplicates of a table.

    Args:
        table: The table.
        near: A place beside which an index of it may stand for a while.

    Returns:
        int64 [N]; a row without a duplicate is a group of its own.
    """
    with indexed(table, near) as opened:
        groups = find_copies(opened).groups
    return np.where(groups >= 0, groups, groups.max(initial=-1) + 1 + np.arange(len(groups)))

"""The split of train and test rows: the options of the command line as the classifiers take them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frieze.api.temporary_index import find_duplicate_groups, temporary_index
from frieze.core import Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.classifiers import SplitConfig


def split_by_group(config: "SplitConfig", table: Features, near: Path, *, group: str | None) -> "SplitConfig":
    """Return a split that keeps groups on one side.

    Args:
        config: The split without groups.
        table: The table.
        near: A path beside which a temporary index of the table may be written.
        group: A column, or `duplicates` for groups of near-duplicates; None for no groups.
    """
    if group == "duplicates":
        return dataclasses.replace(config, groups=lambda: duplicate_groups(table, near))
    return dataclasses.replace(config, group=group)


def duplicate_groups(table: Features, near: Path) -> Rows:
    """Number the groups of near-duplicates of a table.

    Args:
        table: The table.
        near: A path beside which a temporary index of the table may be written.

    Returns:
        int64 [N]; a row without a duplicate is a group of its own.
    """
    with temporary_index(table, near) as index:
        groups = find_duplicate_groups(index).groups
    return np.where(groups >= 0, groups, groups.max(initial=-1) + 1 + np.arange(len(groups)))

"""Which rows of a table a head was not fitted on, and what their figures count."""

from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.source_groups import find_relatives, join_groups, number_wholes
from frieze.classifiers.data.splits import SplitConfig, image_numbers
from frieze.classifiers.storage.split_file import StoredSplit, match_parts
from frieze.classifiers.training.notes import notes_on_interval
from frieze.core import Rows, counted
from frieze.features import Features

Mask = npt.NDArray[np.bool_]


def are_fitted(features: Features, examples: Examples, split: StoredSplit) -> tuple[Mask, Mask, Mask]:
    """Return which rows the head was fitted on (or could have been), copies of these, and others of their files."""
    parts = match_parts(split, examples)
    fitted = [row for row in split if row["part"] != "test"]
    is_named = np.array([part not in {None, "test"} for part in parts], dtype=bool)
    fitted_sha256 = {row["sha256"] for row in fitted} - {None}
    is_copy = ~is_named & np.array([sha256 in fitted_sha256 for sha256 in examples.sha256], dtype=bool)
    is_relative = find_relatives(features.rows, (str(row["id"]) for row in fitted))[examples.rows]
    is_new = np.array([part is None for part in parts], dtype=bool)  # rows of the split stay where it has them
    return is_named, is_copy, is_relative & is_new & ~is_copy


def find_groups(trained_by: dict[str, Any], features: Features, examples: Examples, split: StoredSplit) -> Rows | None:
    """Return the groups of labelled rows by the column that a head was trained by, else as its split has them.

    Args:
        trained_by: The field `split` of its head.json.
        features: The table.
        examples: Its labelled rows.
        split: Of the head.
    """
    column = trained_by.get("group")
    if column in features.rows.column_names:
        return SplitConfig(group=column).find_groups(features, examples)
    stored = match_parts(split, examples, column="group")
    numbers = np.array([-1 if number is None else number for number in stored], np.int64)
    if (numbers < 0).all():
        return None
    return image_numbers(join_groups(numbers, number_wholes(features.rows)[examples.rows]))


def notes_on_groups(trained_by: dict[str, Any], groups: Rows | None) -> list[str]:
    """Describe an interval over few groups, or over images where the head was trained by groups that are not known."""
    column = trained_by.get("group")
    if column is None or groups is not None:
        return notes_on_interval(groups)
    missing = "near-duplicates are not known here" if column == "duplicates" else f"the table has no column {column}"
    return [f"The interval counts images, not groups: {missing}."]


def describe_rows(n_chosen: int, *, n_named: int, n_copies: int, n_relatives: int) -> str:
    """Describe which rows are scored.

    >>> describe_rows(20, n_named=80, n_copies=0, n_relatives=0)
    'Scored on the 20 held-out rows; the 80 rows that the head was fitted on are left out.'
    """
    if not n_named + n_copies + n_relatives:
        return f"Scored on all {counted(n_chosen, 'row')}; the head was fitted on none of them."
    named = f"the {counted(n_named, 'row')} that the head was fitted on" if n_named else ""
    copied = "with the same bytes as an image that it was fitted on"
    copies = f"{counted(n_copies, 'row')} {copied}" if n_copies else ""
    relatives = f"{counted(n_relatives, 'row')} of a file or image that it was fitted on rows of" if n_relatives else ""
    left_out = " and ".join(filter(None, (named, copies, relatives)))
    are = "is" if n_named + n_copies + n_relatives == 1 else "are"
    return f"Scored on the {counted(n_chosen, 'held-out row')}; {left_out} {are} left out."

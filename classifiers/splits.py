"""Which rows are held out for testing."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.folds import fold_rows
from features import InputError, Rows, Strings, counted

_PARTS = {"train": "train", "val": "validation", "validation": "validation", "valid": "validation", "test": "test"}
"""What a column of parts may say."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Which rows are fitted on and which are held out, as ascending places in the labels.

    Attributes:
        train: int64, fitted on in the end, the validation part included.
        test: int64, looked at once; at least one.
        validation: int64, what of `train` the setting is chosen on; empty where it is chosen on folds.
        method: `stratified`, `grouped` or `column`.
    """

    train: Rows
    test: Rows
    validation: Rows
    method: str


def split_stratified(labels: Strings, *, test_size: float, seed: int) -> Split:
    """Hold out the same share of each class; see `split_rows`."""
    return Split(*split_rows(labels, test_size=test_size, seed=seed), np.empty(0, np.int64), "stratified")


def split_rows(labels: Strings | Rows, *, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Hold out the same share of each class.

    Each class of two rows or more is on both sides, also where its share would be less than one row; scikit-learn's
    `train_test_split` does not promise that. A class of a single row is trained on only.

    Args:
        labels: The label of each row [N], rows in the order of their ids.
        test_size: Share of each class to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same split.

    Returns:
        train: int64, ascending places in `labels`.
        test: int64, the other places, ascending; at least one.

    Raises:
        InputError: There are fewer than two classes, no class has two rows, or test_size is out of range.

    >>> train, test = split_rows(np.array(["cat"] * 4 + ["dog"] * 4, dtype=object), test_size=0.25, seed=0)
    >>> len(train), len(test)
    (6, 2)
    """
    classes, codes = np.unique(labels, return_inverse=True)
    _check(classes, codes, test_size)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(np.flatnonzero(codes == code)) for code in range(len(classes))]
    test = np.sort(np.concatenate([rows[: count_held_out(len(rows), test_size)] for rows in shuffled]))
    return np.setdiff1d(np.arange(len(labels)), test), test


def split_groups(labels: Strings, groups: Rows, *, test_size: float, seed: int) -> Split:
    """Hold out whole groups, so that about the same share of each class is held out.

    Args:
        labels: The label of each row [N].
        groups: int64 [N]; rows of one group come on one side.
        test_size: Share of the rows to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same split.

    Raises:
        InputError: As for `split_rows`, or the groups leave nothing to hold out.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    _check(classes, codes, test_size)
    own = np.unique(groups, return_inverse=True)[1]
    folds = fold_rows(codes, own, n_folds=max(2, round(1 / test_size)), seed=seed)
    train, test = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    unseen = ~np.isin(codes[test], codes[train])  # what is never fitted can't be right: it goes to the other side
    is_moved = np.isin(groups[test], groups[test][unseen])
    train, test = np.sort(np.append(train, test[is_moved])), test[~is_moved]
    if not len(test) or len(np.unique(codes[train])) < 2:  # noqa: PLR2004  nothing to tell apart
        raise _too_few_groups()
    return Split(train, test, np.empty(0, np.int64), "grouped")


def _too_few_groups() -> InputError:
    return InputError(
        "The groups are too few or too large to hold some out and fit on others of the same classes.",
        mend="Group by a column with more values, or leave --group out.",
    )


def split_given(parts: Strings, labels: Strings, *, column: str) -> Split:
    """Hold out what a column says; rows without a word in it are left out.

    Args:
        parts: `train`, `test`, `val` (or `validation`) or None, for each row [N].
        labels: The label of each row [N].
        column: Its name.

    Raises:
        InputError: It says something else, a part is empty, or a class is held out of which no row is fitted on.
    """
    told = np.array([_part_of(part) for part in parts])
    others = parts[told == "?"]
    if len(others):
        more = f" and {len(others) - 1:,} more" * (len(others) > 1)
        raise InputError(
            f"The column {column} says {str(others[0])!r}{more}, which name no part.",
            mend="It may say train, val and test; an image without a value is left out.",
        )
    train, validation, test = (np.flatnonzero(told == part) for part in ("train", "validation", "test"))
    fitted = np.sort(np.append(train, validation))
    missing = sorted(set(labels[test]) - set(labels[train]))
    if not len(test) or len(set(labels[train])) < 2 or missing:  # noqa: PLR2004  nothing to tell apart
        raise InputError(
            f"The column {column} gives {counted(len(train), 'row')} to train and {len(test)} to test"
            + (f", and none to train of {', '.join(missing[:3])}." if missing else "."),
            mend="Both parts need rows, and training two classes or more, those of the test among them.",
        )
    return Split(fitted, test, validation, "column")


def _part_of(said: str | None) -> str:
    """Read a cell: a part, nothing, or `?` for another word."""
    word = "" if said is None else said.strip().lower()
    return _PARTS.get(word, "?") if word else ""


def count_held_out(n_rows: int, test_size: float) -> int:
    """Count the rows of a class that are held out: one or more of two or more."""
    return 0 if n_rows == 1 else min(max(round(test_size * n_rows), 1), n_rows - 1)


def _check(classes: npt.NDArray[Any], codes: Rows, test_size: float) -> None:
    if not 0 < test_size < 1:
        raise InputError(
            f"The test size is {test_size}; it is the share of the rows to hold out, between 0 and 1.",
            mend="Use for example --test-size 0.2",
        )
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to tell apart
        raise InputError(
            f"All labelled rows have the same label: {', '.join(classes)}.",
            mend="Add images of a second class, in a folder of its own, and run frieze embed again.",
        )
    if len(codes) == len(classes):
        raise InputError(
            f"Each of the {len(classes)} classes has a single row, so none can be held out for testing.",
            mend="Add images, so that at least one class has two or more, and run frieze embed again.",
        )

"""Which rows are held out: stratified, grouped and given splits, folds, few-shot draws, early-stopping rows."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.classifiers.config import MAX_SEED
from frieze.classifiers.data.folds import FEWEST_CLASSES, fold_rows
from frieze.classifiers.data.labelled_examples import Examples, column_of
from frieze.classifiers.data.source_groups import columns_to_group_by, number_wholes
from frieze.core import InputError, Rows, Strings, counted
from frieze.features import Features

_PARTS = {"train": "train", "val": "validation", "validation": "validation", "valid": "validation", "test": "test"}
"""Values of a split column."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows to fit on, to validate on and to test on, as ascending positions among the labels.

    Attributes:
        fit: int64, training rows.
        validation: int64, rows that hyperparameters are chosen on before they are fitted on, too; empty where folds of
            `fit` take their place.
        test: int64, scored once; at least one.
        method: `stratified`, `grouped` or `column`.
    """

    fit: Rows
    validation: Rows
    test: Rows
    method: str

    @property
    def fit_and_validation(self) -> Rows:
        """All rows that the final head is fitted on, int64, ascending."""
        return np.union1d(self.fit, self.validation)


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How labelled rows are split.

    Attributes:
        test_size: Share to hold out, between 0 and 1, both excluded.
        seed: Random seed of the split.
        column: Column of the table with `train`, `val` or `test` for each row; None for a random split.
        group: Column of the table: rows with equal values stay on one side; None for single rows. Of a column of
            `CUT_FROM`, rows without a value are grouped by the next one.
        groups: Returns group numbers int64 [N] of the table's rows in place of a column; called when they are needed.
        shots: Rows of each class to fit on, drawn from the training rows; None for all.
    """

    test_size: float = 0.2
    seed: int = 0
    column: str | None = None
    group: str | None = None
    groups: Callable[[], Rows] | None = None
    shots: int | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.column and (self.group or self.groups is not None):
            raise InputError("The split column decides where each row goes.", hint="Leave `group` or `split` out.")

    def split(self, features: Features, examples: Examples) -> tuple[Split, Rows | None]:
        """Split labelled rows; return their group numbers int64 [n], too, or None without groups."""
        if self.column:
            parts = column_of(features.rows, self.column, examples)
            return split_given(parts, examples.labels, column=self.column), None
        groups = self.find_groups(features, examples)
        if groups is None:
            return split_stratified(examples.labels, test_size=self.test_size, seed=self.seed), None
        return split_groups(examples.labels, groups, test_size=self.test_size, seed=self.seed), groups

    def few_shot_draws(self, split: Split, labels: Strings) -> list[Split]:
        """Return the splits to fit on, that of the stored head first; more than one for few-shot draws."""
        return [split] if self.shots is None else few_shot_draws(split, labels, self.shots, seed=self.seed)

    def find_groups(self, features: Features, examples: Examples) -> Rows | None:
        """Return group numbers int64 [n] of labelled rows; None without groups."""
        if self.groups is not None:
            return self.groups()[examples.rows]
        if self.group is None:
            return None
        columns = [column_of(features.rows, name, examples) for name in columns_to_group_by(features.rows, self.group)]
        values = [next((value for value in row if value is not None), None) for row in zip(*columns, strict=True)]
        keys = np.array([f"\0{row}" if value is None else value for row, value in enumerate(values)])
        return np.unique(keys, return_inverse=True)[1]  # a row without a value is a group of its own

    def to_json(self, split: Split) -> dict[str, Any]:
        """Return the field `split` of head.json."""
        n_train, n_test = len(split.fit_and_validation), len(split.test)
        fields = {"method": split.method, "test_size": self.test_size, "seed": self.seed}
        by = {"column": self.column} if self.column else {"group": self.group or "duplicates"}
        fields |= {} if self.shots is None else {"shots": self.shots}
        return fields | (by if split.method != "stratified" else {}) | {"n_train": n_train, "n_test": n_test}


def check_seed(seed: int) -> None:
    """Check that NumPy and scikit-learn accept a seed.

    Raises:
        InputError: It is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"The seed is {seed}; it must be between 0 and {MAX_SEED}.", hint="Use for example `seed=0`")


def split_stratified(labels: Strings, *, test_size: float, seed: int) -> Split:
    """Hold out the same share of each class; see `split_rows`."""
    train, test = split_rows(labels, test_size=test_size, seed=seed)
    return Split(train, _no_rows(), test, "stratified")


def _no_rows() -> Rows:
    return np.empty(0, np.int64)


def split_rows(labels: Strings | Rows, *, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Hold out the same share of each class.

    A class of two rows or more is on both sides, even if its share is less than one row; scikit-learn's
    `train_test_split` does not promise that. A class of a single row is in the training rows only.

    Args:
        labels: The label of each row [N], rows in the order of their ids.
        test_size: Share of each class to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same split.

    Returns:
        train: int64, ascending positions in `labels`.
        test: int64, the other positions, ascending; at least one.

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
    """Hold out whole groups, about the same share of each class.

    Args:
        labels: The label of each row [N].
        groups: int64 [N]; rows of one group stay on one side.
        test_size: Share of the rows to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same split.

    Raises:
        InputError: As for `split_rows`, or the groups leave nothing to hold out.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    _check(classes, codes, test_size)
    group_numbers = np.unique(groups, return_inverse=True)[1]
    folds = fold_rows(codes, group_numbers, n_folds=max(2, round(1 / test_size)), seed=seed)
    is_test = _without_untrained(folds == 0, codes, groups)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if not len(test) or len(np.unique(codes[train])) < FEWEST_CLASSES:
        raise InputError(
            "The groups are too few or too large to hold some out and fit on others of the same classes.",
            hint="Group by a column with more values; `group='id'` splits single rows, whatever they have in common.",
        )
    return Split(train, _no_rows(), test, "grouped")


def _without_untrained(is_held: npt.NDArray[np.bool_], codes: Rows, groups: Rows) -> npt.NDArray[np.bool_]:
    """Return the held-out rows without the groups of classes that no other row has: these could never be predicted."""
    is_untrained = is_held & ~np.isin(codes, codes[~is_held])
    return is_held & ~np.isin(groups, groups[is_untrained])


def draw_validation_groups(labels: Strings | Rows, groups: Rows, *, share: float, seed: int) -> Rows:
    """Draw whole groups of training rows to validate on: about the same share of each class's rows.

    A group has the class of its first row; a class of two groups or more is on both sides, as in `split_rows`.

    Args:
        labels: The label of each row [N].
        groups: int64 [N]; rows of one group stay on one side.
        share: Share of the rows to draw, between 0 and 1, both excluded.
        seed: The same seed draws the same groups.

    Returns:
        int64, ascending positions in `labels`; empty where no class has a group to spare.

    >>> draw_validation_groups(np.array([0, 0, 0, 0, 1, 1]), np.array([5, 5, 6, 6, 7, 7]), share=0.1, seed=0)
    array([0, 1])
    """
    codes = np.unique(labels, return_inverse=True)[1]
    _, firsts, numbers, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    generator = np.random.default_rng(seed)
    of_classes = [generator.permutation(np.flatnonzero(codes[firsts] == code)) for code in range(codes.max() + 1)]
    drawn = np.concatenate([_take_share(one, sizes[one], share) for one in of_classes])
    return np.flatnonzero(_without_untrained(np.isin(numbers, drawn), codes, groups))


def _take_share(groups: Rows, sizes: Rows, share: float) -> Rows:
    """Return the first of a class's groups that hold at most a share of its rows; the smallest where none does."""
    if len(groups) <= 1:
        return groups[:0]
    most = share * sizes.sum()
    is_small = sizes <= most
    n_groups = np.searchsorted(np.cumsum(sizes[is_small]), most, side="right")
    return groups[is_small][:n_groups] if n_groups else groups[[sizes.argmin()]]


def split_given(parts: Strings, labels: Strings, *, column: str) -> Split:
    """Split by the values of a column; rows without a value are left out.

    Args:
        parts: `train`, `test`, `val` (or `validation`) or None, for each row [N].
        labels: The label of each row [N].
        column: Its name.

    Raises:
        InputError: There are other values, a part is empty, or a class is in the test part only.
    """
    names = np.array([_part_of(part) for part in parts])
    others = parts[names == "?"]
    if len(others):
        more = f" and {len(others) - 1:,} more" * (len(others) > 1)
        raise InputError(
            f"The column {column} has the values {str(others[0])!r}{more}, which are no part of a split.",
            hint="Valid values are train, val and test; an image without a value is left out.",
        )
    fit, validation, test = (np.flatnonzero(names == part) for part in ("train", "validation", "test"))
    missing = sorted(set(labels[test]) - set(labels[fit]))
    if not len(test) or len(set(labels[fit])) < FEWEST_CLASSES or missing:
        raise InputError(
            f"The column {column} gives {counted(len(fit), 'row')} to train and {len(test)} to test"
            + (f", and none to train of {', '.join(missing[:3])}." if missing else "."),
            hint="Both parts need rows; the training part needs two classes or more and each class of the test part.",
        )
    return Split(fit, validation, test, "column")


def _part_of(value: str | None) -> str:
    """Return the part that a cell names, empty for an empty cell, `?` for another value."""
    word = "" if value is None else value.strip().lower()
    return _PARTS.get(word, "?") if word else ""


def count_held_out(n_rows: int, test_size: float) -> int:
    """Count the rows of a class that are held out: at least one of two or more, never all."""
    return 0 if n_rows == 1 else min(max(round(test_size * n_rows), 1), n_rows - 1)


def _check(classes: npt.NDArray[Any], codes: Rows, test_size: float) -> None:
    if not 0 < test_size < 1:
        raise InputError(
            f"The test size is {test_size}; it must be the share of rows to hold out, between 0 and 1.",
            hint="Use for example `test_size=0.2`",
        )
    if len(classes) < FEWEST_CLASSES:
        raise InputError(
            f"All labelled rows have the same label: {', '.join(classes)}.",
            hint="Add images of a second class, in a folder of its own, and run frieze embed again.",
        )
    if len(codes) == len(classes):
        raise InputError(
            f"Each of the {len(classes)} classes has a single row, so none can be held out for testing.",
            hint="Add images, so that at least one class has two or more, and run frieze embed again.",
        )


def image_numbers(groups: Rows) -> Rows:
    """Number the distinct images.

    Args:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.

    Returns:
        int64 [N] in 0..n-1, equal for near-duplicates only.

    >>> image_numbers(np.array([7, -1, 7, -1])).tolist()
    [0, 1, 0, 2]
    """
    singles = groups.max(initial=0) + 1 + np.arange(len(groups))
    numbers: Rows = np.unique(np.where(groups < 0, singles, groups), return_inverse=True)[1]
    return numbers


def interval_groups(features: Features, examples: Examples, groups: Rows | None, chosen: Rows) -> Rows | None:
    """Return the groups of held-out rows, which an interval counts, int64 [m]; None where it counts images.

    Args:
        features: The table.
        examples: Its labelled rows.
        groups: Their groups in the split, int64 [n]. Where None, frames of one file and parts of one image are groups.
        chosen: int64 [m], positions of the held-out rows.
    """
    if groups is not None:
        return groups[chosen]
    numbers = number_wholes(features.rows)[examples.rows[chosen]]
    return image_numbers(numbers) if (numbers >= 0).any() else None


N_DRAWS = 10
"""Number of few-shot draws; the head of the first one is stored."""


def few_shot_draws(split: Split, labels: Strings, shots: int, *, seed: int) -> list[Split]:
    """Draw a few training rows of each class, several times; the test rows stay.

    Args:
        split: The split of all rows.
        labels: The label of each row [N].
        shots: Rows a class, >= 1.
        seed: The same seed gives the same draws.

    Raises:
        InputError: A class has fewer training rows.
    """
    train = split.fit_and_validation
    codes = np.unique(labels[train], return_inverse=True)[1]
    of_classes = [train[codes == code] for code in range(codes.max() + 1)]
    fewest = min(of_classes, key=len)
    if not 1 <= shots <= len(fewest):
        raise InputError(
            f"{labels[fewest[0]]} has {counted(len(fewest), 'image')} to train on; {shots} a class were requested.",
            hint=f"Use 1 to {len(fewest)}: `shots={len(fewest)}`, or add images.",
        )
    return [_draw(split, of_classes, shots, np.random.default_rng([seed, number])) for number in range(N_DRAWS)]


def _draw(split: Split, of_classes: list[Rows], shots: int, generator: np.random.Generator) -> Split:
    drawn = [generator.choice(rows, shots, replace=False) for rows in of_classes]
    return dataclasses.replace(split, fit=np.sort(np.concatenate(drawn)), validation=_no_rows())


def few_shot_figures(shots: int, accuracies: list[float]) -> dict[str, Any]:
    """Return `per_class`, `draws`, `accuracies` of each draw, `mean_accuracy` and `standard_deviation`.

    >>> few_shot_figures(5, [0.5, 0.75])["mean_accuracy"]
    0.625
    """
    draws = {"per_class": shots, "draws": len(accuracies), "accuracies": accuracies}
    return draws | {
        "mean_accuracy": float(np.mean(accuracies)),
        "standard_deviation": float(np.std(accuracies, ddof=1)),
    }


VALIDATION_SHARE = 0.1
"""Share of each class of the training rows that early stopping looks at."""
_MAX_EARLY_STOPPING_ROWS = 20_000  # enough to measure the loss to a hundredth


def early_stopping_split(codes: Rows, seed: int, groups: Rows | None = None) -> tuple[Rows, Rows]:
    """Split training rows into fit and validation rows.

    Where each class has one row, all rows are both.

    Args:
        codes: The class of each row [N].
        seed: The same seed gives the same split.
        groups: int64 [N]; rows of one group stay on one side, unless no class has a group to spare. None for single
            rows.
    """
    share = min(VALIDATION_SHARE, _MAX_EARLY_STOPPING_ROWS / len(codes))
    if groups is not None:
        validation = draw_validation_groups(codes, groups, share=share, seed=seed)
        if len(validation):
            return np.setdiff1d(np.arange(len(codes)), validation), validation
    if len(np.unique(codes)) == len(codes):
        return np.arange(len(codes)), np.arange(len(codes))
    return split_rows(codes, test_size=share, seed=seed)

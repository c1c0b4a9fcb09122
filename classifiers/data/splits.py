"""Who is held out: stratified and grouped splits, folds, few-shot draws, validation rows."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import InputError, Rows, Strings, counted

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
        hint="Group by a column with more values, or leave --group out.",
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
            hint="It may say train, val and test; an image without a value is left out.",
        )
    train, validation, test = (np.flatnonzero(told == part) for part in ("train", "validation", "test"))
    fitted = np.sort(np.append(train, validation))
    missing = sorted(set(labels[test]) - set(labels[train]))
    if not len(test) or len(set(labels[train])) < 2 or missing:  # noqa: PLR2004  nothing to tell apart
        raise InputError(
            f"The column {column} gives {counted(len(train), 'row')} to train and {len(test)} to test"
            + (f", and none to train of {', '.join(missing[:3])}." if missing else "."),
            hint="Both parts need rows, and training two classes or more, those of the test among them.",
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
            hint="Use for example --test-size 0.2",
        )
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to tell apart
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
    alone = groups.max(initial=0) + 1 + np.arange(len(groups))
    numbers: Rows = np.unique(np.where(groups < 0, alone, groups), return_inverse=True)[1]
    return numbers


def fold_rows(codes: Rows, images: Rows, *, n_folds: int, seed: int) -> Rows:
    """Deal distinct images out to folds, class by class, so that each fold has the same share of each class.

    scikit-learn's `StratifiedGroupKFold` weighs every group against every fold in Python: minutes for 100,000 rows.

    Args:
        codes: int64 [N], the class of each row; a group counts as of its first row's class.
        images: int64 [N] in 0..n-1, `image_numbers`.
        n_folds: How many folds.
        seed: The same seed gives the same folds.

    Returns:
        int64 [N] in 0..n_folds-1, equal for near-duplicates.

    >>> fold_rows(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3]), n_folds=2, seed=0).tolist()
    [0, 0, 1, 0, 1]
    """
    _, firsts = np.unique(images, return_index=True)
    shuffled = np.random.default_rng(seed).permutation(len(firsts))
    dealt = shuffled[np.argsort(codes[firsts][shuffled], kind="stable")]
    folds = np.empty(len(firsts), np.int64)
    folds[dealt] = np.arange(len(firsts)) % n_folds
    return folds[images]


DRAWS = 10
"""How often the rows are drawn; the first draw's head is the one that is kept."""


def draw_shots(split: Split, labels: Strings, shots: int, *, seed: int) -> list[Split]:
    """Draw so many of the training rows of each class, several times; the test rows stay.

    Args:
        split: Of all rows.
        labels: The label of each row [N].
        shots: Rows a class, >= 1.
        seed: The same seed gives the same draws.

    Raises:
        InputError: A class has fewer rows to train on.
    """
    codes = np.unique(labels[split.train], return_inverse=True)[1]
    of_classes = [split.train[codes == code] for code in range(codes.max() + 1)]
    fewest = min(of_classes, key=len)
    if not 1 <= shots <= len(fewest):
        raise InputError(
            f"{labels[fewest[0]]} has {counted(len(fewest), 'image')} to train on; {shots} a class were asked for.",
            hint=f"Give from 1 to {len(fewest)}: --shots {len(fewest)}, or add images.",
        )
    return [_draw(split, of_classes, shots, np.random.default_rng([seed, number])) for number in range(DRAWS)]


def _draw(split: Split, of_classes: list[Rows], shots: int, generator: np.random.Generator) -> Split:
    drawn = [generator.choice(rows, shots, replace=False) for rows in of_classes]
    return dataclasses.replace(split, train=np.sort(np.concatenate(drawn)), validation=np.empty(0, np.int64))


def tell_shots(shots: int, accuracies: list[float]) -> dict[str, Any]:
    """Give what the draws told: `per_class`, `draws`, `accuracies` of each, `mean_accuracy`, `standard_deviation`.

    >>> tell_shots(5, [0.5, 0.75])["mean_accuracy"]
    0.625
    """
    told = {"per_class": shots, "draws": len(accuracies), "accuracies": accuracies}
    return told | {"mean_accuracy": float(np.mean(accuracies)), "standard_deviation": float(np.std(accuracies, ddof=1))}


_WATCHED_SHARE = 0.1


_MOST_WATCHED = 20_000  # tell the loss to a hundredth


def watched_rows(codes: Rows, seed: int) -> tuple[Rows, Rows]:
    """Part the training rows into those to fit and those to watch; where each class has one row, all are both."""
    if len(np.unique(codes)) == len(codes):
        return np.arange(len(codes)), np.arange(len(codes))
    return split_rows(codes, test_size=min(_WATCHED_SHARE, _MOST_WATCHED / len(codes)), seed=seed)


VALIDATION_SHARE = 0.1


_FOLDS = 3


_MANY_ROWS = 20_000


_FOLDS_OF_MANY = 5
"""Of so many rows a fifth tells enough: they are parted once, not into folds."""


FEWEST_CLASSES = 2
"""Fewer leave nothing to tell apart."""


Folds = list[tuple[Rows, Rows]]
"""Rows to fit on and rows to look at, once or more."""


def make_folds(labels: Strings, groups: Rows | None, *, seed: int) -> Folds:
    """Part the training rows so that each class is on both sides; none where fewer than two classes have three rows.

    Args:
        labels: Class names [N].
        groups: int64 [N]; rows of one group stay together. None for rows on their own.
        seed: The same seed gives the same folds.

    Returns:
        Three pairs of row numbers, or one where there are many rows; rows of classes with fewer than three are in none.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    often = np.flatnonzero((counts >= _FOLDS)[codes])
    if len(np.unique(codes[often])) < FEWEST_CLASSES:
        return []
    own = np.arange(len(often)) if groups is None else np.unique(groups[often], return_inverse=True)[1]
    is_many = len(often) >= _MANY_ROWS
    fold_of = fold_rows(codes[often], own, n_folds=_FOLDS_OF_MANY if is_many else _FOLDS, seed=seed)
    folds = [(often[fold_of != fold], often[fold_of == fold]) for fold in np.unique(fold_of)]
    return [] if len(folds) == 1 else folds[:1] if is_many else folds

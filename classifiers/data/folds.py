"""Folds of training rows for cross-validation: stratified, with groups on one side."""

import numpy as np

from frieze.core import Rows, Strings

FEWEST_CLASSES = 2
"""With fewer there is nothing to classify."""
_FOLDS = 3
_MANY_ROWS = 20_000
_FOLDS_OF_MANY = 5
"""Of many rows one fifth is enough to choose hyperparameters on: they have one fold."""
Folds = list[tuple[Rows, Rows]]
"""Pairs of fit rows and held-out rows."""


def make_folds(labels: Strings, groups: Rows | None, *, seed: int) -> Folds:
    """Split training rows into folds with each class on both sides.

    Args:
        labels: Class names [N].
        groups: int64 [N]; rows of one group stay together. None for single rows.
        seed: The same seed gives the same folds.

    Returns:
        Three pairs of row numbers, or one for many rows; none where fewer than two classes have three rows. Rows of
        classes with fewer than three rows are in no fold.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((counts >= _FOLDS)[codes])
    if len(np.unique(codes[kept])) < FEWEST_CLASSES:
        return []
    group_numbers = np.arange(len(kept)) if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    is_many = len(kept) >= _MANY_ROWS
    fold_of = fold_rows(codes[kept], group_numbers, n_folds=_FOLDS_OF_MANY if is_many else _FOLDS, seed=seed)
    folds = [(kept[fold_of != fold], kept[fold_of == fold]) for fold in np.unique(fold_of)]
    return [] if len(folds) == 1 else folds[:1] if is_many else folds


def fold_rows(codes: Rows, images: Rows, *, n_folds: int, seed: int) -> Rows:
    """Assign distinct images to stratified folds, like scikit-learn's `StratifiedGroupKFold`.

    That one weighs every group against every fold in Python: minutes for 100,000 rows.

    Args:
        codes: int64 [N], the class of each row; a group has the class of its first row.
        images: int64 [N] in 0..n-1, `image_numbers`.
        n_folds: Number of folds.
        seed: The same seed gives the same folds.

    Returns:
        int64 [N] in 0..n_folds-1, equal for near-duplicates.

    >>> fold_rows(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3]), n_folds=2, seed=0).tolist()
    [0, 0, 1, 0, 1]
    """
    _, firsts = np.unique(images, return_index=True)
    shuffled = np.random.default_rng(seed).permutation(len(firsts))
    by_class = shuffled[np.argsort(codes[firsts][shuffled], kind="stable")]
    folds = np.empty(len(firsts), np.int64)
    folds[by_class] = np.arange(len(firsts)) % n_folds
    return folds[images]

"""Folds in which copies of an image stay together, so that no copy vouches for another."""

import numpy as np

from features import Rows


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

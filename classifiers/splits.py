"""Which rows are held out for testing."""

import numpy as np

from features import InputError, Rows, Strings


def split_rows(labels: Strings, *, test_size: float, seed: int) -> tuple[Rows, Rows]:
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
    test = np.sort(np.concatenate([rows[: _n_held_out(len(rows), test_size)] for rows in shuffled]))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _n_held_out(n_rows: int, test_size: float) -> int:
    return 0 if n_rows == 1 else min(max(round(test_size * n_rows), 1), n_rows - 1)


def _check(classes: Strings, codes: Rows, test_size: float) -> None:
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

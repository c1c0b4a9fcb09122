import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from frieze.classifiers.data.splits import fold_rows, image_numbers

GROUPS = st.lists(st.integers(-1, 5), min_size=1, max_size=40).map(lambda groups: np.array(groups, np.int64))


@given(GROUPS)
def test_images_are_numbered_by_group(groups):
    """Rows have the same number where they have the same group, and a row without one has a number of its own."""
    images = image_numbers(groups)
    same = (groups[:, None] == groups) & (groups >= 0) | np.eye(len(groups), dtype=bool)
    assert np.array_equal(images[:, None] == images, same)
    assert sorted(set(images)) == list(range(images.max() + 1))


@given(GROUPS, st.integers(0, 9))
def test_copies_stay_together(groups, seed):
    """All rows of a group are in one fold."""
    images = image_numbers(groups)
    folds = fold_rows(images % 3, images, n_folds=5, seed=seed)
    assert len(set(zip(images.tolist(), folds.tolist(), strict=True))) == images.max() + 1


@pytest.mark.parametrize("seed", range(3))
def test_each_fold_has_its_share_of_each_class(seed):
    """Every class of distinct images is dealt out evenly, to within one image a fold."""
    codes = np.repeat([0, 1, 2], [50, 5, 23])
    folds = fold_rows(codes, np.arange(78), n_folds=5, seed=seed)
    counts = np.array([np.bincount(folds[codes == code], minlength=5) for code in range(3)])
    assert np.ptp(counts, axis=1).tolist() == [0, 0, 1]
    assert np.ptp(np.bincount(folds)) <= 1


def test_the_seed_decides():
    """The same seed deals the same folds, another one others."""
    codes, images = np.repeat([0, 1], 20), np.arange(40)
    one, again, other = (fold_rows(codes, images, n_folds=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)

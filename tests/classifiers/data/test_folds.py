import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from frieze.classifiers.data.folds import fold_rows, make_folds
from frieze.classifiers.data.splits import image_numbers

LABELS = np.repeat(np.array(["a", "b", "c"], dtype=object), [30, 30, 2])
GROUPS = st.lists(st.integers(-1, 5), min_size=1, max_size=40).map(lambda groups: np.array(groups, np.int64))


def test_folds_have_each_row_once():
    """Each row is looked at once and never fitted on then; rows of a class of two are in no fold."""
    folds = make_folds(LABELS, None, seed=0)
    assert np.sort(np.concatenate([held for _, held in folds])).tolist() == list(range(60))
    for train, held in folds:
        assert not np.intersect1d(train, held).size
        assert set(LABELS[held]) == set(LABELS[train]) == {"a", "b"}


def test_groups_stay_together():
    """Rows of one group are in one fold."""
    groups = np.arange(62) // 4
    for train, held in make_folds(LABELS, groups, seed=0):
        assert not np.intersect1d(groups[train], groups[held]).size


def test_many_rows_have_one_fold(monkeypatch):
    """Of many rows a fifth is looked at, once."""
    monkeypatch.setattr("frieze.classifiers.data.folds._MANY_ROWS", 60)
    ((train, held),) = make_folds(LABELS, None, seed=0)
    assert (len(train), len(held)) == (48, 12)


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
    one, same, other = (fold_rows(codes, images, n_folds=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)

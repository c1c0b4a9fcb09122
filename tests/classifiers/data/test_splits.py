import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from frieze.classifiers.data.splits import (
    draw_validation_groups,
    image_numbers,
    split_given,
    split_groups,
    split_rows,
)
from frieze.core import InputError

COUNTS = st.lists(st.integers(1, 30), min_size=2, max_size=6).filter(lambda counts: max(counts) > 1)


def labels(*counts):
    """Return so many labels of each class."""
    return np.repeat([f"class {number}" for number in range(len(counts))], counts).astype(object)


@given(COUNTS, st.floats(0.01, 0.99), st.integers(0, 99))
def test_each_row_is_on_one_side(counts, test_size, seed):
    """Training and test rows together are all rows, each once."""
    train, test = split_rows(labels(*counts), test_size=test_size, seed=seed)
    assert sorted([*train, *test]) == list(range(sum(counts)))


@given(COUNTS, st.floats(0.01, 0.99), st.integers(0, 99))
def test_each_class_of_two_rows_is_on_both_sides(counts, test_size, seed):
    """A class is trained on, and tested where it has two rows or more."""
    given_labels = labels(*counts)
    train, test = split_rows(given_labels, test_size=test_size, seed=seed)
    assert set(given_labels[train]) == set(given_labels)
    assert set(given_labels[test]) == {f"class {number}" for number, count in enumerate(counts) if count > 1}


def test_shares_are_those_of_sklearn():
    """Where each class has rows enough, scikit-learn's stratified split holds out as many of each."""
    from sklearn.model_selection import train_test_split

    given_labels = labels(50, 30, 20)
    _, judge = train_test_split(given_labels, test_size=0.2, stratify=given_labels, random_state=0)
    _, test = split_rows(given_labels, test_size=0.2, seed=0)
    assert sorted(given_labels[test]) == sorted(judge)


def test_a_seed_gives_one_split():
    """The same seed gives the same rows, another seed others."""
    splits = [split_rows(labels(50, 50), test_size=0.2, seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("test_size", [0, 1, -0.5, 20, float("nan")])
def test_a_test_size_out_of_range_is_refused(test_size):
    """The share to hold out lies between 0 and 1."""
    with pytest.raises(InputError, match=f"The test size is {test_size}") as caught:
        split_rows(labels(5, 5), test_size=test_size, seed=0)
    assert "`test_size=0.2`" in caught.value.hint


def test_one_class_is_refused():
    """There must be two classes to tell apart."""
    with pytest.raises(InputError, match="the same label: class 0"):
        split_rows(labels(5), test_size=0.2, seed=0)


def test_classes_of_one_row_each_are_refused():
    """Something must be left to test on."""
    with pytest.raises(InputError, match="Each of the 3 classes has a single row"):
        split_rows(labels(1, 1, 1), test_size=0.2, seed=0)


LABELS = np.repeat(np.array(["ant", "bee"], dtype=object), 20)


def test_groups_come_on_one_side():
    """No group is on both sides, both classes are on both, and about the share asked for is held out."""
    groups = np.arange(40) // 2
    split = split_groups(LABELS, groups, test_size=0.25, seed=0)
    assert not np.intersect1d(groups[split.fit], groups[split.test]).size
    assert np.array_equal(np.sort(np.append(split.fit, split.test)), np.arange(40))
    assert set(LABELS[split.test]) == {"ant", "bee"}
    assert 8 <= len(split.test) <= 12
    assert np.array_equal(split_groups(LABELS, groups, test_size=0.25, seed=0).test, split.test)


def test_a_class_of_one_group_is_fitted_on():
    """A class whose rows are one group is never held out whole: nothing could be right there."""
    labels = np.array([*LABELS, *["cow"] * 6], dtype=object)
    groups = np.append(np.arange(40), np.full(6, 99))
    for seed in range(5):
        split = split_groups(labels, groups, test_size=0.25, seed=seed)
        assert (labels[split.fit] == "cow").sum() == 6
        assert not (labels[split.test] == "cow").any()


@pytest.mark.parametrize("groups", [np.zeros(40, int), np.arange(40) // 20])
def test_groups_that_cannot_be_split(groups):
    """One group, or one for each class, leave nothing to hold out."""
    with pytest.raises(InputError, match="too few or too large"):
        split_groups(LABELS, groups, test_size=0.25, seed=0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60), st.integers(0, 3))
def test_validation_is_of_whole_groups(rows, seed):
    """No group is on both sides, and each class that validates has other rows to be fitted on."""
    codes, groups = np.array(rows).T
    drawn = draw_validation_groups(codes, groups, share=0.1, seed=seed)
    rest = np.setdiff1d(np.arange(len(codes)), drawn)
    assert not np.intersect1d(groups[drawn], groups[rest]).size
    assert set(codes[drawn]) <= set(codes[rest])


def test_each_class_with_a_group_to_spare_validates():
    """Of 30 groups of a class three validate, of two groups one, of a single group none."""
    labels = np.repeat(np.array(["ant", "bee", "cow"], dtype=object), [90, 6, 3])
    groups = np.arange(99) // 3
    drawn = draw_validation_groups(labels, groups, share=0.1, seed=0)
    assert np.unique(labels[drawn].astype(str), return_counts=True)[1].tolist() == [9, 3]
    assert not (labels[drawn] == "cow").any()


def test_no_group_to_spare():
    """Where each class is a single group, none is drawn."""
    assert draw_validation_groups(LABELS, np.arange(40) // 20, share=0.1, seed=0).size == 0


def test_a_column_decides_the_split():
    """Train, val and test are taken in any spelling; rows without a word are left out; val is fitted on in the end."""
    parts = np.array([" Train", "train", "VAL", "test", None, " Train", "train", "VAL", "test", " "] * 4, dtype=object)
    split = split_given(parts, LABELS, column="part")
    assert split.test.tolist() == list(range(3, 40, 5))
    assert split.validation.tolist() == list(range(2, 40, 5))
    assert split.fit.tolist() == [row for row in range(40) if row % 5 < 2]
    assert split.fit_and_validation.tolist() == [row for row in range(40) if row % 5 < 3]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["train", "tset"] * 20, "The column part has the values 'tset' and 19 more, which are no part of a split."),
        (["train"] * 40, "gives 40 rows to train and 0 to test"),
        (["train"] * 20 + ["test"] * 20, "gives 20 rows to train and 20 to test, and none to train of bee"),
    ],
)
def test_an_invalid_split_column_is_refused(parts, message):
    """Another word, an empty part, or a class that is only tested, is refused with what was found."""
    with pytest.raises(InputError, match=message):
        split_given(np.array(parts, dtype=object), LABELS, column="part")


GROUPS = st.lists(st.integers(-1, 5), min_size=1, max_size=40).map(lambda groups: np.array(groups, np.int64))


@given(GROUPS)
def test_images_are_numbered_by_group(groups):
    """Rows have the same number where they have the same group, and a row without one has a number of its own."""
    images = image_numbers(groups)
    same = (groups[:, None] == groups) & (groups >= 0) | np.eye(len(groups), dtype=bool)
    assert np.array_equal(images[:, None] == images, same)
    assert sorted(set(images)) == list(range(images.max() + 1))

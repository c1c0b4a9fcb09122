import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from classifiers.splits import split_rows
from features import InputError

COUNTS = st.lists(st.integers(1, 30), min_size=2, max_size=6).filter(lambda counts: max(counts) > 1)


def labels(*counts):
    """Give so many labels of each class."""
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
    assert "--test-size 0.2" in caught.value.mend


def test_one_class_is_refused():
    """There must be two classes to tell apart."""
    with pytest.raises(InputError, match="the same label: class 0"):
        split_rows(labels(5), test_size=0.2, seed=0)


def test_classes_of_one_row_each_are_refused():
    """Something must be left to test on."""
    with pytest.raises(InputError, match="Each of the 3 classes has a single row"):
        split_rows(labels(1, 1, 1), test_size=0.2, seed=0)

import numpy as np
import pytest

from frieze.classifiers.label_audit.duplicate_conflicts import conflicting_groups, majority_label, nearest_conflict
from frieze.core import unit_rows

GROUPS = np.array([3, -1, 3, 0, 0, -1, 7, 7, 7])


def conflicts(values):
    """Return the conflicting groups as lists."""
    return [rows.tolist() for rows in conflicting_groups(GROUPS, np.array(values, object))]


def test_only_groups_that_differ_are_found():
    """A group whose rows have one value, and rows without a group, are no conflict."""
    assert conflicts(list("abaccdeee")) == []
    assert conflicts(list("abbccdefe")) == [[0, 2], [6, 7, 8]]


def test_rows_without_a_value_take_no_part():
    """A row whose value is unknown is in no conflict."""
    assert conflicts(["a", "b", None, "c", "d", None, "e", None, "f"]) == [[3, 4], [6, 8]]


def test_no_groups():
    """Where there are no near-duplicates there is no conflict."""
    assert list(conflicting_groups(np.full(4, -1), np.array(list("abcd"), object))) == []


@pytest.mark.parametrize("block_floats", [1 << 22, 7])
def test_the_nearest_of_different_values_counts(monkeypatch, block_floats):
    """The score is NumPy's highest cosine over pairs of different values, block by block or at once."""
    monkeypatch.setattr("frieze.classifiers.label_audit.duplicate_conflicts._BLOCK_FLOATS", block_floats)
    embeddings = unit_rows(np.random.default_rng(0).normal(size=(20, 6)).astype("f4"))
    values = np.array(["a", "b", "c", "a"] * 5, object)
    judge = (embeddings @ embeddings.T)[values[:, None] != values[None]].max()
    assert nearest_conflict(embeddings, values) == pytest.approx(judge)


def test_scores_stay_between_0_and_1():
    """Opposite images score 0, equal ones 1."""
    values = np.array(["a", "b"], object)
    assert nearest_conflict(np.array([[1, 0], [-1, 0]], "f4"), values) == 0
    assert nearest_conflict(np.array([[1.0001, 0], [1.0001, 0]], "f4"), values) == 1


@pytest.mark.parametrize(("labels", "most"), [("aab", "a"), ("ab", None), ("aabb", None), ("abc", None), ("abbb", "b")])
def test_the_majority_is_more_than_half(labels, most):
    """A label is a group's own where more than half have it."""
    assert majority_label(np.array(list(labels), object)) == most

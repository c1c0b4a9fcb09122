import numpy as np
import pytest

from classifiers.neighbourhood import Neighbourhood, vote

ROWS = np.array([[0, 1, 2, 3], [1, 0, 3, 4], [2, 0, 1, 4], [3, 4, 0, 1], [4, 3, 2, 1]])


def near(*groups):
    """Give the neighbourhood of five rows in these groups."""
    return Neighbourhood(np.array(groups), ROWS, np.zeros((5, 4), "f4"))


def test_votes_are_counted():
    """Each row's share is one and its neighbours of the class, over their sum; the row itself has no vote."""
    shares = vote(near(-1, -1, -1, -1, -1), np.array([0, 0, 0, 1, 1]))
    assert shares.dtype == np.float32
    assert shares * 5 == pytest.approx(np.array([[3, 2], [2, 3], [3, 2], [3, 2], [3, 2]]))


def test_copies_have_no_vote():
    """Near-duplicates do not vote on each other, but on all others."""
    shares = vote(near(7, 7, -1, -1, -1), np.array([0, 0, 0, 1, 1]))
    assert shares[:3] == pytest.approx(np.array([[2 / 4, 2 / 4], [1 / 4, 3 / 4], [3 / 5, 2 / 5]]))


def test_rows_without_a_class_have_no_vote():
    """A row of code -1 is voted on and does not vote."""
    shares = vote(near(-1, -1, -1, -1, -1), np.array([0, -1, 1, -1, -1]))
    assert shares == pytest.approx(
        np.array([[1 / 3, 2 / 3], [2 / 3, 1 / 3], [2 / 3, 1 / 3], [2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    )

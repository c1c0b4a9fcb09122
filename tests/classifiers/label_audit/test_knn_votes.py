import dataclasses

import numpy as np
import pytest

from frieze.classifiers.label_audit.knn_votes import Neighbourhood, knn_probabilities, vote

ROWS = np.array([[0, 1, 2, 3], [1, 0, 3, 4], [2, 0, 1, 4], [3, 4, 0, 1], [4, 3, 2, 1]])


def near(*groups, scores=None):
    """Return the neighbourhood of five rows in these groups."""
    return Neighbourhood(np.array(groups), ROWS, np.zeros((5, 4), "f4") if scores is None else scores)


def test_votes_are_counted():
    """Each row's share is a half and its neighbours of the class, over their sum; the row itself has no vote."""
    shares = vote(near(-1, -1, -1, -1, -1), np.array([0, 0, 0, 1, 1]), decay=1)
    assert shares.dtype == np.float32
    assert shares * 4 == pytest.approx(np.array([[2.5, 1.5], [1.5, 2.5], [2.5, 1.5], [2.5, 1.5], [2.5, 1.5]]))


def test_votes_fall_with_distance():
    """The nearest voter has one vote; the last, behind it by the median range, exp(-decay)."""
    scores = np.tile(np.array([1, 0.8, 0.7, 0.6], "f4"), (5, 1))
    shares = vote(near(-1, -1, -1, -1, -1, scores=scores), np.array([0, 0, 0, 1, 1]), decay=2)
    votes = np.array([1 + np.exp(-1), np.exp(-2)]) + 0.5  # rows 1 and 2, then row 3
    assert shares[0] == pytest.approx(votes / votes.sum())


def test_copies_have_no_vote():
    """Near-duplicates do not vote on each other, but on all others."""
    shares = vote(near(7, 7, -1, -1, -1), np.array([0, 0, 0, 1, 1]), decay=0)
    assert shares[:3] == pytest.approx(np.array([[1.5 / 3, 1.5 / 3], [0.5 / 3, 2.5 / 3], [2.5 / 4, 1.5 / 4]]))


def test_parts_of_one_image_have_no_vote():
    """Rows that are held out together do not vote on each other, as if they were near-duplicates."""
    codes, alone = np.array([0, 0, 0, 1, 1]), near(-1, -1, -1, -1, -1)
    shares = vote(dataclasses.replace(alone, together=np.array([7, 7, 1, 2, 3])), codes, decay=0)
    assert shares == pytest.approx(vote(near(7, 7, -1, -1, -1), codes, decay=0))


def test_rows_without_a_class_have_no_vote():
    """A row of code -1 is voted on and does not vote."""
    shares = vote(near(-1, -1, -1, -1, -1), np.array([0, -1, 1, -1, -1]), decay=0)
    assert shares == pytest.approx(np.array([[1, 3], [3, 1], [3, 1], [3, 1], [1, 3]]) / 4)


@pytest.mark.parametrize("shares_of_class", [[1] * 3 + [0.5] * 37, [0.65] * 40])
def test_the_decay_explains_the_labels_best(shares_of_class):
    """Where the nearest rows alone share a row's class they decide; where all do as often, all count."""
    rng, codes = np.random.default_rng(0), np.arange(200) % 2
    has_class = rng.random((200, 40)) < shares_of_class
    actual = 2 * rng.integers(0, 100, (200, 40)) + np.where(has_class, codes[:, None], 1 - codes[:, None])
    near = Neighbourhood(np.full(200, -1), actual, np.tile(np.linspace(1, 0, 40, dtype="f4"), (200, 1)))
    shares = knn_probabilities(near, np.arange(200), codes)
    assert (shares.argmax(axis=1) == codes).mean() > 0.9
    assert shares.sum(axis=1) == pytest.approx(np.ones(200))

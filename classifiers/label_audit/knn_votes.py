"""What an index knows of a table's rows, and what the rows around say about labels."""

import dataclasses

import numpy as np

from frieze.classifiers.calibration import calibrated, likelihood
from frieze.classifiers.data.splits import image_numbers
from frieze.core import Floats, Rows

N_NEIGHBOURS = 100
"""How many nearest rows are wanted, where there are so many."""
_FALLS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""How fast a vote loses weight with distance, from not at all on; the best one hangs on the collection."""
_LEAST_RANGE = 1e-6  # of scores, so that rounding is no distance
_DOUBT = 0.5  # of a vote, given to each class beside the nearest row's whole one


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Near-duplicates and nearest rows of each row of a table.

    Attributes:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        rows: int64 [N, k], the k = min(N, N_NEIGHBOURS) nearest rows, best first, itself among them.
        scores: float32 [N, k], their cosines.
    """

    groups: Rows
    rows: Rows
    scores: Floats


def ask_neighbours(near: Neighbourhood, rows: Rows, codes: Rows) -> Floats:
    """Give what the nearest rows say of each row's class, with votes that fall as explains the given labels best.

    Args:
        near: Of N rows.
        rows: int64 [n], those that have a class.
        codes: int64 [n] in 0..C-1, their classes.

    Returns:
        float32 [n, C], calibrated; each row sums to 1.
    """
    voters = np.full(len(near.groups), -1)
    voters[rows] = codes
    opinions = (calibrated(vote(near, voters, fall=fall)[rows], codes) for fall in _FALLS)
    return max(opinions, key=lambda found: likelihood(found, codes))


def vote(near: Neighbourhood, codes: Rows, *, fall: float) -> Floats:
    """Let the nearest rows vote on each row's class; a row and its near-duplicates have no vote on their own.

    The nearest voter has one vote, one whose score is less by the usual distance of the last to the first exp(-fall).

    Args:
        near: Of N rows.
        codes: int64 [N], classes in 0..C-1; -1 for a row that has no vote.
        fall: How fast votes lose weight, >= 0.

    Returns:
        float32 [N, C], shares of the votes with half a one more for each class, so that none has nothing.

    Source: Zhu et al. 2022, Detecting Corrupted Labels Without Training a Model to Predict, section 4.1.
    """
    n_classes, images = int(codes.max()) + 1, image_numbers(near.groups)
    has_vote = (codes[near.rows] >= 0) & (images[near.rows] != images[:, None])  # [N, k]
    behind = np.where(has_vote, near.scores, -np.inf).max(axis=1, keepdims=True) - near.scores
    weights = np.exp(-fall * behind[has_vote] / _usual(near.scores))
    places = np.nonzero(has_vote)[0] * n_classes + codes[near.rows[has_vote]]
    votes = _DOUBT + np.bincount(places, weights, minlength=len(codes) * n_classes).reshape(-1, n_classes)
    shares: Floats = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _usual(scores: Floats) -> float:
    """Give how far the last neighbour usually is behind the first other than the row itself."""
    return max(float(np.median(scores[:, min(1, scores.shape[1] - 1)] - scores[:, -1])), _LEAST_RANGE)

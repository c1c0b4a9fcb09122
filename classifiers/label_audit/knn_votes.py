"""Weighted votes of the k nearest neighbours on the label of each row."""

import dataclasses

import numpy as np

from frieze.classifiers.calibration import calibrate_probabilities, mean_log_likelihood
from frieze.classifiers.data.splits import image_numbers
from frieze.core import Floats, Rows

N_NEIGHBOURS = 100
"""Number of nearest rows; fewer in a smaller table."""
_DECAYS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""How fast votes decay with distance, from not at all on; the best rate depends on the collection."""
_MIN_RANGE = 1e-6  # of scores, so that rounding does not count as distance
_PRIOR_VOTES = 0.5  # votes added to each class (Laplace smoothing); the nearest row has one vote


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Near-duplicates and nearest rows of each row of a table.

    Attributes:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        rows: int64 [N, k], the k = min(N, N_NEIGHBOURS) nearest rows, best first, itself among them.
        scores: float32 [N, k], their cosines.
        together: int64 [N], equal for rows that are held out together, such as parts of one image; None where these
            are near-duplicates alone.
    """

    groups: Rows
    rows: Rows
    scores: Floats
    together: Rows | None = None

    @property
    def held_out_groups(self) -> Rows:
        """int64 [N], equal for rows that are held out together; -1 for one that is alone."""
        return self.groups if self.together is None else self.together


def knn_probabilities(near: Neighbourhood, rows: Rows, codes: Rows) -> Floats:
    """Predict the class of each row by its nearest rows, with the vote decay that explains the labels best.

    Args:
        near: Neighbours of N rows.
        rows: int64 [n], rows that have a class.
        codes: int64 [n] in 0..C-1, their classes.

    Returns:
        float32 [n, C], calibrated; each row sums to 1.
    """
    voters = np.full(len(near.groups), -1)
    voters[rows] = codes
    estimates = (calibrate_probabilities(vote(near, voters, decay=decay)[rows], codes) for decay in _DECAYS)
    return max(estimates, key=lambda probabilities: mean_log_likelihood(probabilities, codes))


def vote(near: Neighbourhood, codes: Rows, *, decay: float) -> Floats:
    """Count the votes of the nearest rows on each row's class, without the row itself and its near-duplicates.

    The nearest voter has one vote, a voter further off by the median score range exp(-decay) votes.

    Args:
        near: Neighbours of N rows.
        codes: int64 [N], classes in 0..C-1; -1 for a row without a vote.
        decay: How fast votes lose weight with distance, >= 0.

    Returns:
        float32 [N, C], shares of the votes, half a vote added to each class, so that all are > 0.

    Source: Zhu et al. 2022, Detecting Corrupted Labels Without Training a Model to Predict, section 4.1.
    """
    n_classes, images = int(codes.max()) + 1, image_numbers(near.held_out_groups)
    has_vote = (codes[near.rows] >= 0) & (images[near.rows] != images[:, None])  # [N, k]
    score_gaps = np.where(has_vote, near.scores, -np.inf).max(axis=1, keepdims=True) - near.scores
    weights = np.exp(-decay * score_gaps[has_vote] / _typical_range(near.scores))
    positions = np.nonzero(has_vote)[0] * n_classes + codes[near.rows[has_vote]]
    votes = _PRIOR_VOTES + np.bincount(positions, weights, minlength=len(codes) * n_classes).reshape(-1, n_classes)
    shares: Floats = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _typical_range(scores: Floats) -> float:
    """Compute the median score range between the nearest neighbour other than the row itself and the last one."""
    return max(float(np.median(scores[:, min(1, scores.shape[1] - 1)] - scores[:, -1])), _MIN_RANGE)

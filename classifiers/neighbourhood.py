"""What an index knows of a table's rows, and what the rows around say about labels."""

import dataclasses

import numpy as np

from classifiers.folds import image_numbers
from features import Floats, Rows

N_NEIGHBOURS = 30
"""How many nearest rows are wanted, where there are so many."""


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


def vote(near: Neighbourhood, codes: Rows) -> Floats:
    """Let the nearest rows vote on each row's class; a row and its near-duplicates have no vote on their own.

    Args:
        near: Of N rows.
        codes: int64 [N], classes in 0..C-1; -1 for a row that has no vote.

    Returns:
        float32 [N, C], shares of the votes with one more for each class, so that none has nothing.

    Source: Zhu et al. 2022, Detecting Corrupted Labels Without Training a Model to Predict, section 4.1.
    """
    n_classes, images = int(codes.max()) + 1, image_numbers(near.groups)
    has_vote = (codes[near.rows] >= 0) & (images[near.rows] != images[:, None])  # [N, k]
    places = np.nonzero(has_vote)[0] * n_classes + codes[near.rows[has_vote]]
    votes = 1 + np.bincount(places, minlength=len(codes) * n_classes).reshape(-1, n_classes)
    shares: Floats = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares

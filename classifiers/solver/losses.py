"""Losses with derivative and curvature on blocks of rows: softmax (cross-entropy), squared hinge and logistic."""

import dataclasses
from collections.abc import Callable

import numpy as np

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Floats, Rows

Positions = tuple[Rows, Rows]
"""Row and column numbers of the decision values of right classes: of softmax one a row, the rows ascend."""
OfBlock = Callable[[Floats, Positions, Floats], tuple[Doubles, Doubles]]


def softmax(decisions: Floats, positions: Positions, weights: Floats) -> tuple[Doubles, Doubles]:
    """Compute the cross-entropy of a block; its derivative overwrites the logits.

    Wrong classes are summed separately: near certainty 1 - p has digits that p has not in float32.

    Args:
        decisions: float32 [n, C]; overwritten by the derivative.
        positions: The right column of every row.
        weights: float32 [n].

    Returns:
        loss: float64 [1], summed over rows.
        curvature: float64 [C], the sum of p (1 - p), the second derivative by each logit.
    """
    highest = decisions.max(axis=1)
    behind = (highest - decisions[positions]).astype(np.float64)
    decisions -= highest[:, None]
    np.exp(decisions, out=decisions)
    right = decisions[positions].astype(np.float64)
    decisions[positions] = 0
    wrong = decisions.sum(axis=1).astype(np.float64)
    whole = right + wrong
    decisions /= whole.astype(np.float32)[:, None]
    decisions[positions] = right / whole
    curvature = weights @ (decisions * (1 - decisions))
    decisions[positions] = -wrong / whole
    decisions *= weights[:, None]
    return np.array([weights @ (behind + np.log1p(wrong + (right - 1)))]), curvature.astype(np.float64)


def squared_hinge(decisions: Floats, positions: Positions, weights: Floats) -> tuple[Doubles, Doubles]:
    """Compute max(0, 1 - y m)^2 of a block, one class against the rest; the derivative overwrites the decisions.

    Args:
        decisions: float32 [n, c], of some of the classes; overwritten by the derivative.
        positions: Where y is 1; elsewhere it is -1.
        weights: float32 [n].

    Returns:
        loss: float64 [c], summed over rows.
        curvature: float64 [c], the second derivative summed over rows: 2 for each row within its margin.
    """
    decisions += 1
    decisions[positions] = 2 - decisions[positions]
    np.maximum(decisions, 0, out=decisions)
    loss = weights @ (decisions * decisions)
    curvature = 2 * weights @ (decisions > 0)
    decisions[positions] *= -1
    decisions *= 2 * weights[:, None]
    return loss.astype(np.float64), curvature.astype(np.float64)


def logistic(decisions: Floats, positions: Positions, weights: Floats) -> tuple[Doubles, Doubles]:
    """Compute log(1 + exp(-y m)) of a block, one class against the rest; the derivative overwrites the decisions.

    Args:
        decisions: float32 [n, c], of some of the classes; overwritten by the derivative.
        positions: Where y is 1; elsewhere it is -1.
        weights: float32 [n].

    Returns:
        loss: float64 [c], summed over rows.
        curvature: float64 [c], the sum of p (1 - p), the second derivative.
    """
    from scipy.special import expit

    decisions[positions] *= -1
    loss = weights @ np.logaddexp(0, decisions)
    expit(decisions, out=decisions)
    curvature = weights @ (decisions * (1 - decisions))
    decisions[positions] *= -1
    decisions *= weights[:, None]
    return loss.astype(np.float64), curvature.astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of the table of losses.

    Attributes:
        of_block: Loss, derivative and curvature of a block of decision values.
        is_joint: Whether all classes are one problem; else each is a problem of its own.
        intercept_penalty: Factor of the squared intercept in the penalty, 0 or 1.
        two_class_share: Factor on the cost that makes two columns equal to scikit-learn's one for two classes.
    """

    of_block: OfBlock
    is_joint: bool
    intercept_penalty: float
    two_class_share: float


LOSSES = {
    # The penalty of two columns -w/2 and w/2 is half that of one column w.
    "softmax": Loss(softmax, is_joint=True, intercept_penalty=0, two_class_share=0.5),
    # Two columns are two problems, one the mirror of the other.
    "squared_hinge": Loss(squared_hinge, is_joint=False, intercept_penalty=1, two_class_share=1),
    "logistic": Loss(logistic, is_joint=False, intercept_penalty=0, two_class_share=1),
}
"""Name -> loss, with the penalty of scikit-learn's LogisticRegression and LinearSVC; `logistic` is its OneVsRest."""

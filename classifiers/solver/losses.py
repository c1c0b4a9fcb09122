"""What a wrong margin costs: softmax (cross-entropy) and squared hinge, on blocks of rows."""

import dataclasses
from collections.abc import Callable

import numpy as np

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Floats, Rows

Places = tuple[Rows, Rows]
"""Row and column numbers of the margins that should be high, at most one a row; the rows ascend."""
OfBlock = Callable[[Floats, Places, Floats], tuple[Doubles, Doubles]]


def softmax(margins: Floats, places: Places, weights: Floats) -> tuple[Doubles, Doubles]:
    """Give the cross-entropy of a block; its derivative by the margins takes their place.

    What is not the right class is summed apart: near certainty 1 - p has digits that p, in float32, has not.

    Args:
        margins: float32 [n, C]; overwritten by the derivative.
        places: The right column of every row.
        weights: float32 [n].

    Returns:
        loss: float64 [1], summed over rows.
        curvature: float64 [C], the sum of p (1 - p), the second derivative by each margin.
    """
    highest = margins.max(axis=1)
    behind = (highest - margins[places]).astype(np.float64)
    margins -= highest[:, None]
    np.exp(margins, out=margins)
    right = margins[places].astype(np.float64)
    margins[places] = 0
    wrong = margins.sum(axis=1).astype(np.float64)
    whole = right + wrong
    margins /= whole.astype(np.float32)[:, None]
    margins[places] = right / whole
    curvature = weights @ (margins * (1 - margins))
    margins[places] = -wrong / whole
    margins *= weights[:, None]
    return np.array([weights @ (behind + np.log1p(wrong + (right - 1)))]), curvature.astype(np.float64)


def squared_hinge(margins: Floats, places: Places, weights: Floats) -> tuple[Doubles, Doubles]:
    """Give max(0, 1 - y m)^2 of a block for each class against the rest; the derivative takes the margins' place.

    Args:
        margins: float32 [n, c], of some of the classes; overwritten by the derivative.
        places: Where y is 1; elsewhere it is -1.
        weights: float32 [n].

    Returns:
        loss: float64 [c], summed over rows.
        curvature: float64 [c], the second derivative summed over rows: 2 for each row that is not beyond its margin.
    """
    margins += 1
    margins[places] = 2 - margins[places]
    np.maximum(margins, 0, out=margins)
    loss = weights @ (margins * margins)
    curvature = 2 * weights @ (margins > 0)
    margins[places] *= -1
    margins *= 2 * weights[:, None]
    return loss.astype(np.float64), curvature.astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of the table of losses.

    Attributes:
        of_block: Loss, derivative and curvature of a block of margins.
        is_joint: Whether the classes depend on each other; else each is a problem of its own.
        intercept_penalty: Factor of the squared intercept in the penalty, 0 or 1.
        two_class_share: What part of the cost gives, with two classes and two columns, scikit-learn's one column.
    """

    of_block: OfBlock
    is_joint: bool
    intercept_penalty: float
    two_class_share: float


LOSSES = {
    # Of two columns -w/2 and w/2 the penalty is half that of the one column w.
    "softmax": Loss(softmax, is_joint=True, intercept_penalty=0, two_class_share=0.5),
    # Two columns are two problems, one the mirror of the other.
    "squared_hinge": Loss(squared_hinge, is_joint=False, intercept_penalty=1, two_class_share=1),
}
"""Name -> loss, with the penalty of scikit-learn's LogisticRegression and LinearSVC."""

"""The learning curve of answers: how the head does after the first of them, the first few, and all."""

import dataclasses

import numpy as np

from frieze.classifiers.intervals import accuracy_interval
from frieze.classifiers.teaching.teach import Answers, fit_answers
from frieze.classifiers.teaching.unit_vectors import UnitVectors
from frieze.core import Rows

_N_POINTS = 12


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """How a head does that was fitted on the first answers.

    Attributes:
        n_answers: How many answers it was fitted on.
        n_right: How many of the held-out answers it has right.
        accuracy: Their share, in [0, 1].
        interval: The 95 % Wilson interval, [low, high].
    """

    n_answers: int
    n_right: int
    accuracy: float
    interval: list[float]


def learning_curve(vectors: UnitVectors, answers: Answers) -> list[CurvePoint]:
    """Fit heads on more and more of the answers, and measure each on all held-out ones.

    All points are measured on the same images, so that they differ by what was learned alone.

    Args:
        vectors: Of N images.
        answers: In the order in which they were given.

    Returns:
        At most twelve points, the last one of all answers; none without a held-out answer, or with one label alone.
    """
    rows, labels = answers.fitted
    judged, its_labels = answers.rows[answers.is_held_out], answers.labels[answers.is_held_out].astype(str)
    if not len(judged):
        return []
    examples, held_out = vectors.take(rows), vectors.take(judged)
    points = []
    for n in _counts(len(rows)).tolist():
        classes, codes = np.unique(labels[:n].astype(str), return_inverse=True)
        if len(classes) > 1:
            solution = fit_answers(examples[:n], codes)
            predicted = classes[(held_out @ solution.coef.T + solution.intercept).argmax(axis=1)]
            n_right = int((predicted == its_labels).sum())
            points.append(CurvePoint(n, n_right, n_right / len(judged), accuracy_interval(n_right, len(judged))))
    return points


def _counts(n: int) -> Rows:
    """Return numbers of answers to fit on, ascending, the last one all.

    >>> _counts(5).tolist(), _counts(24).tolist()
    ([1, 2, 3, 4, 5], [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24])
    """
    return np.unique(np.ceil(np.linspace(0, n, min(n, _N_POINTS) + 1)[1:]).astype(np.int64))

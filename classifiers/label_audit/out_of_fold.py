"""Which labels are likely wrong: what a head says about rows that it was not fitted on."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.solver.linear import Solution, fit_path
from frieze.core import Floats, Rows

_COSTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of unit vectors; gone up for as long as the held-out log loss falls."""


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """What heads say about the rows that each was not fitted on.

    Attributes:
        probabilities: float32 [N, C], each row sums to 1, calibrated by one temperature.
        log_loss: Mean negative logarithm of the given labels' probabilities.
        cost: The heads' C.
    """

    probabilities: Floats
    log_loss: float
    cost: float


def hold_out(embeddings: Floats, codes: Rows, folds: Rows) -> OutOfFold:
    """Fit a softmax head without each fold in turn, and ask it about that fold.

    The cost is the one whose calibrated held-out probabilities explain the given labels best: wrong labels among them
    are a reason for a lower one, and no head has seen the label that it is asked about.

    Args:
        embeddings: float32 [N, D], of unit length.
        codes: int64 [N] in 0..C-1, C >= 2, each class in two folds or more.
        folds: int64 [N] in 0..n_folds-1.

    Source: Northcutt et al. 2021, Confident Learning, section 3 (out-of-sample probabilities); Guo et al. 2017, On
    Calibration of Modern Neural Networks, section 4.2 (one temperature).
    """
    attempts = _attempts(embeddings, codes, folds)
    best = next(attempts)
    for found in attempts:
        if found.log_loss >= best.log_loss:
            break
        best = found
    return best


def _attempts(embeddings: Floats, codes: Rows, folds: Rows) -> Iterator[OutOfFold]:
    """Give what the heads say at each cost, the paths of all folds side by side."""
    paths = [
        # Weights of zero, not fewer rows: nothing is copied.
        fit_path(
            [(embeddings, codes)],
            "softmax",
            costs=_COSTS,
            n_classes=int(codes.max()) + 1,
            weights=(folds != fold).astype(np.float32),
        )
        for fold in range(int(folds.max()) + 1)
    ]
    for cost, *solutions in zip(_COSTS, *paths, strict=True):
        yield _calibrated(_margins(embeddings, folds, solutions), codes, cost)


def _margins(embeddings: Floats, folds: Rows, solutions: Sequence[Solution]) -> Floats:
    """Give float32 [N, C], each row by the head that has not seen it."""
    margins = np.empty((len(embeddings), len(solutions[0].intercept)), np.float32)
    for fold, solution in enumerate(solutions):
        rows = np.flatnonzero(folds == fold)
        margins[rows] = embeddings[rows] @ solution.coef.T + solution.intercept
    return margins


def _calibrated(margins: Floats, codes: Rows, cost: float) -> OutOfFold:
    from scipy.special import log_softmax

    logs = log_softmax(fit_temperature(margins, codes) * margins, axis=1)
    return OutOfFold(np.exp(logs), -float(logs[np.arange(len(codes)), codes].mean(dtype=np.float64)), cost)


@dataclasses.dataclass(frozen=True)
class LabelIssue:
    """A label that another one explains better.

    Attributes:
        row: Its place among the rows.
        code: The likelier class.
        probability: How likely that class is, in [0, 1].
        score: In [0, 1]; higher is more certain.
    """

    row: int
    code: int
    probability: float
    score: float


def find_doubts(probabilities: Floats, codes: Rows) -> list[LabelIssue]:
    """Find the rows for which another class is likelier than their own.

    Args:
        probabilities: float32 [N, C], calibrated, by judges that did not see the row's own label.
        codes: int64 [N], the given labels.

    Returns:
        One for each such row, the most certain first. The score is one less the probability of the given label.

    Source: Northcutt et al. 2021, Confident Learning, section 3 (ranking by self-confidence).

    >>> [(one.row, one.code) for one in find_doubts(np.array([[0.9, 0.1], [0.2, 0.8]], "f4"), np.array([1, 1]))]
    [(0, 0)]
    """
    likeliest = probabilities.argmax(axis=1)
    rows = np.flatnonzero(likeliest != codes)
    scores = 1 - probabilities[rows, codes[rows]]
    order = np.argsort(-scores, kind="stable")
    found = zip(rows[order], likeliest[rows[order]], scores[order], strict=True)
    return [
        LabelIssue(int(row), int(code), float(probabilities[row, code]), float(score)) for row, code, score in found
    ]

"""Label issues (likely wrong labels) by out-of-fold probabilities, as in cross-validation and confident learning."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.solver.linear import Solution, fit_path
from frieze.core import Floats, Rows

_TINY = float(np.finfo(np.float32).tiny)
_COSTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""For unit vectors; tried in this order until the out-of-fold log loss rises."""


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """Predictions of heads for the rows that they were not fitted on.

    Attributes:
        probabilities: float32 [N, C], each row sums to 1; calibrated by one temperature.
        log_loss: Mean negative logarithm of the labels' probabilities.
        cost: The heads' C.
    """

    probabilities: Floats
    log_loss: float
    cost: float


def predict_out_of_fold(embeddings: Floats, codes: Rows, folds: Rows) -> OutOfFold:
    """Fit a softmax head without each fold in turn, and predict that fold.

    The cost is the one with the lowest log loss of calibrated out-of-fold probabilities. The more labels are wrong, the
    lower it is; no head is fitted on a label that it predicts.

    Args:
        embeddings: float32 [N, D], of unit length.
        codes: int64 [N] in 0..C-1, C >= 2, each class in two folds or more.
        folds: int64 [N] in 0..n_folds-1.

    Source: Northcutt et al. 2021, Confident Learning, section 3 (out-of-sample probabilities); Guo et al. 2017, On
    Calibration of Modern Neural Networks, section 4.2 (one temperature).
    """
    path = _path(embeddings, codes, folds)
    best = next(path)
    for attempt in path:
        if attempt.log_loss >= best.log_loss:
            break
        best = attempt
    return best


def _path(embeddings: Floats, codes: Rows, folds: Rows) -> Iterator[OutOfFold]:
    """Yield the predictions at each cost; all folds follow their regularisation paths in step."""
    paths = [
        # Weights of zero instead of fewer rows: no copy.
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
        yield _calibrate(_logits(embeddings, folds, solutions), codes, cost)


def _calibrate(logits: Floats, codes: Rows, cost: float) -> OutOfFold:
    from scipy.special import log_softmax

    logs = log_softmax(fit_temperature(logits, codes) * logits, axis=1)  # its loss stays exact where a softmax is 0
    return OutOfFold(np.exp(logs), -float(logs[np.arange(len(codes)), codes].mean(dtype=np.float64)), cost)


def _logits(embeddings: Floats, folds: Rows, solutions: Sequence[Solution]) -> Floats:
    """Compute logits float32 [N, C], each row by the head that was not fitted on it."""
    logits = np.empty((len(embeddings), len(solutions[0].intercept)), np.float32)
    for fold, solution in enumerate(solutions):
        rows = np.flatnonzero(folds == fold)
        logits[rows] = embeddings[rows] @ solution.coef.T + solution.intercept
    return logits


@dataclasses.dataclass(frozen=True)
class LabelIssue:
    """A label that is less likely than another one.

    Attributes:
        row: Row number.
        code: The likeliest class.
        probability: Probability of that class, in [0, 1].
        score: 1 - the probability of the given label, in [0, 1].
        log_odds: Natural logarithm of how many times likelier the likeliest class is than the given label, > 0.
    """

    row: int
    code: int
    probability: float
    score: float
    log_odds: float


def find_label_issues(probabilities: Floats, codes: Rows) -> list[LabelIssue]:
    """Find the rows for which another class is likelier than the given one.

    Args:
        probabilities: float32 [N, C], calibrated, out of fold.
        codes: int64 [N], the given labels.

    Returns:
        One issue for each such row, the highest `log_odds` first.

    >>> [(one.row, one.code) for one in find_label_issues(np.array([[0.9, 0.1], [0.2, 0.8]], "f4"), np.array([1, 1]))]
    [(0, 0)]
    """
    log_odds, likeliest = label_log_odds(probabilities, codes), probabilities.argmax(axis=1)
    rows = np.flatnonzero(likeliest != codes)
    rows = rows[np.argsort(-log_odds[rows], kind="stable")]
    highest, given = probabilities[rows, likeliest[rows]], probabilities[rows, codes[rows]]
    columns = (rows, likeliest[rows], highest, 1 - given, log_odds[rows])
    return [LabelIssue(*issue) for issue in zip(*(column.tolist() for column in columns), strict=True)]


def label_log_odds(probabilities: Floats, codes: Rows) -> Floats:
    """Compute how many times likelier the likeliest other class is than the given one, as natural logarithms.

    The probability of the given label alone (Northcutt et al. 2021, Confident Learning) puts images that look like
    several classes before wrong labels that look like one other class; its difference to the other's (the normalised
    margin) forgets how improbable the label is. Their ratio is ahead of both in benchmarks/heads/label_noise.py.

    Args:
        probabilities: float32 [N, C].
        codes: int64 [N], the given labels.

    Returns:
        float32 [N], above 0 where another class is likelier.
    """
    each = np.arange(len(codes))
    others = probabilities.copy()
    others[each, codes] = 0
    other, given = (np.log(np.maximum(one, _TINY)) for one in (others.max(axis=1), probabilities[each, codes]))
    log_odds: Floats = other - given
    return log_odds

"""Calibration of one-vs-rest decisions, and the threshold of each label."""

import numpy as np

from frieze.classifiers.intervals import Doubles
from frieze.classifiers.multilabel.examples import Mask
from frieze.core import Floats, evenly_spaced

_FEWEST = 5
"""Images with a label, and as many without, that a threshold of its own takes."""
_MOST_PAIRS = 20_000_000
_EVEN = 0.5


def fit_sigmoid(decisions: Floats, has_label: Mask) -> tuple[float, float]:
    """Fit the slope and intercept with which sigmoid(slope * decision + intercept) explains a label best.

    Args:
        decisions: float32 [n], of rows that the head was not fitted on.
        has_label: bool [n].

    Returns:
        slope: >= 0, so that the order of images stays.
        intercept: Any number.

    Source: Platt 1999, Probabilistic Outputs for Support Vector Machines, section 2.2 (targets that are never certain).
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    n_with, n_without = int(has_label.sum()), int((~has_label).sum())
    targets = np.where(has_label, (n_with + 1) / (n_with + 2), 1 / (n_without + 2))
    scale = float(np.abs(decisions).mean()) or 1.0
    columns = np.column_stack([decisions / scale, np.ones(len(decisions))]).astype(np.float64)

    def loss(line: Doubles) -> tuple[float, Doubles]:
        logits = columns @ line
        return float((np.logaddexp(0, logits) - targets * logits).sum()), columns.T @ (expit(logits) - targets)

    start = np.array([0.0, np.log((n_with + 1) / (n_without + 1))])
    slope, intercept = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return float(slope) / scale, float(intercept)


def choose_thresholds(probabilities: Floats, has_label: Mask) -> Floats:
    """Choose the probability from which on an image has a label, where the F1 of the label is highest.

    A label with few images gets the threshold at which the F1 over all labels is highest, of images that are sampled
    where they are many.

    Args:
        probabilities: float32 [n, C], of rows that the head was not fitted on.
        has_label: bool [n, C].

    Returns:
        float32 [C].
    """
    n_with = has_label.sum(axis=0)
    has_own = np.minimum(n_with, len(has_label) - n_with) >= _FEWEST
    some = evenly_spaced(np.arange(len(has_label)), max(1, _MOST_PAIRS // len(has_own)))
    shared = _EVEN if has_own.all() else _best_threshold(probabilities[some].ravel(), has_label[some].ravel())
    thresholds = np.full(len(has_own), shared, np.float32)
    for code in np.flatnonzero(has_own).tolist():
        thresholds[code] = _best_threshold(probabilities[:, code], has_label[:, code])
    return thresholds


def _best_threshold(probabilities: Floats, has_label: Mask) -> float:
    """Return the middle between the lowest probability that belongs to the highest F1, and the next lower one."""
    order = np.argsort(-probabilities, kind="stable")
    ordered, n_right = probabilities[order], np.cumsum(has_label[order])
    is_end = np.append(np.diff(ordered) < 0, True)  # images of one probability are on one side
    f1 = np.where(is_end, 2 * n_right / (np.arange(1, len(order) + 1) + has_label.sum()), 0)
    best = int(f1.argmax())
    below = ordered[best + 1] if best + 1 < len(ordered) else ordered[best]
    return float((ordered[best] + below) / 2)

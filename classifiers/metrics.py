"""Metrics of predicted probabilities: accuracy, F1, calibration error, abstention."""

from typing import Any

import numpy as np

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.intervals import (
    accuracy_interval,
    f1_interval,
    grouped_accuracy_interval,
    grouped_f1_interval,
)
from frieze.core import Floats, Rows, Strings

_N_BINS = 15
_MAX_MISTAKES = 50


def score(probabilities: Floats, labels: Strings, *, classes: Strings, groups: Rows | None = None) -> dict[str, Any]:
    """Compute the metrics of predictions.

    Args:
        probabilities: float32 [N, C].
        labels: The true labels [N], each one of `classes`.
        classes: The C class names, sorted.
        groups: int64 [N], equal for images that are alike, such as those of one site; None for images that have nothing
            in common.

    Returns:
        `accuracy` and `macro_f1` (over the classes that occur in `labels`) in [0, 1], `confidence_interval` [low, high]
        of the accuracy, `baseline_accuracy` (of always predicting the commonest class of `labels`),
        `macro_f1_interval`, `expected_calibration_error` in [0, 1]; `interval_over`, what the intervals count:
        `images`, or `groups` where one has several images; `n_test_groups`, None without groups.
    """
    from sklearn.metrics import f1_score

    predicted = probabilities.argmax(axis=1)
    codes = np.searchsorted(classes, labels)
    is_right = predicted == codes
    macro_f1 = f1_score(codes, predicted, labels=np.unique(codes), average="macro", zero_division=0.0)
    return {
        "accuracy": float(is_right.mean()),
        "baseline_accuracy": float(np.bincount(codes).max() / len(codes)),
        "macro_f1": float(macro_f1),
        "expected_calibration_error": calibration_error(probabilities.max(axis=1), is_right),
        **_intervals(codes, predicted, groups, n_classes=len(classes)),
    }


def _intervals(codes: Rows, predicted: Rows, groups: Rows | None, *, n_classes: int) -> dict[str, Any]:
    n_groups = None if groups is None else len(np.unique(groups))
    is_right = predicted == codes
    if groups is None or n_groups == len(codes):
        of_accuracy = accuracy_interval(int(is_right.sum()), len(codes))
        of_f1 = f1_interval(codes, predicted, n_classes=n_classes)
    else:
        of_accuracy = grouped_accuracy_interval(is_right, groups)
        of_f1 = grouped_f1_interval(codes, predicted, groups, n_classes=n_classes)
    return {
        "confidence_interval": of_accuracy,
        "macro_f1_interval": of_f1,
        "interval_over": "images" if n_groups in {None, len(codes)} else "groups",
        "n_test_groups": n_groups,
    }


def abstention(
    probabilities: Floats, labels: Strings, classes: Strings, precision: float, threshold: float
) -> dict[str, float | None]:
    """Compute coverage and precision on test rows of a head that abstains below a threshold.

    Args:
        probabilities: float32 [N, C].
        labels: The true labels [N].
        classes: The C class names, sorted.
        precision: Requested share of right predictions.
        threshold: The lowest probability that is a prediction.

    Returns:
        `precision` and `threshold` as passed, `coverage` (share of rows with a prediction) and `precision_on_test`
        (share of these predictions that is right; None without any).
    """
    is_covered = probabilities.max(axis=1) >= threshold
    is_right = classes[probabilities.argmax(axis=1)] == labels
    on_test = float(is_right[is_covered].mean()) if is_covered.any() else None
    requested = {"precision": precision, "threshold": threshold}
    return requested | {"coverage": float(is_covered.mean()), "precision_on_test": on_test}


def calibration_error(confidences: Floats, is_right: Any) -> float:
    """Compute the expected calibration error: the mean distance of confidence and accuracy.

    Args:
        confidences: float32 [N], the largest probability of each row.
        is_right: bool [N], whether the prediction is right.

    Returns:
        In [0, 1], over 15 bins of equal width.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    bins = np.clip(np.ceil(confidences * _N_BINS).astype(int) - 1, 0, _N_BINS - 1)
    gaps = np.bincount(bins, weights=confidences.astype(float) - is_right, minlength=_N_BINS)
    return float(np.abs(gaps).sum() / len(confidences))


def report(probabilities: Floats, examples: Examples, *, classes: Strings) -> dict[str, Any]:
    """Compute confusion matrix, per-class metrics and worst mistakes.

    Args:
        probabilities: float32 [N, C].
        examples: The N test rows, each label one of `classes`.
        classes: The C class names, sorted.

    Returns:
        `confusion` [C][C] counts (rows are true, columns predicted), `per_class`, and `mistakes`: the wrong rows of
        highest probability, 50 at most.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    codes = np.searchsorted(classes, examples.labels)
    all_codes = np.arange(len(classes))
    columns = precision_recall_fscore_support(codes, predicted, labels=all_codes, zero_division=0.0)
    names = ("class", "precision", "recall", "f1", "n_test")
    values = zip(classes, *(column.tolist() for column in columns), strict=True)
    return {
        "confusion": confusion_matrix(codes, predicted, labels=all_codes).tolist(),
        "per_class": [dict(zip(names, row, strict=True)) for row in values],
        "mistakes": _mistakes(probabilities, examples, classes=classes, wrong=np.flatnonzero(predicted != codes)),
    }


def _mistakes(probabilities: Floats, examples: Examples, *, classes: Strings, wrong: Rows) -> list[dict[str, Any]]:
    confidences = probabilities[wrong].max(axis=1)
    worst = wrong[np.argsort(-confidences, kind="stable")[:_MAX_MISTAKES]]
    mistaken, chosen = examples.take(worst), probabilities[worst]
    columns = (
        mistaken.ids,
        mistaken.uris,
        mistaken.labels,
        classes[chosen.argmax(axis=1)],
        chosen.max(axis=1).tolist(),
    )
    names = ("id", "uri", "label", "prediction", "probability")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

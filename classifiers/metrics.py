"""Metrics of predicted probabilities: accuracy, F1, confidence intervals, calibration error, abstention."""

from typing import Any

import numpy as np

from frieze.classifiers.data.labelled_examples import Examples
from frieze.core import Floats, Rows, Strings

_N_BINS = 15
_MAX_MISTAKES = 50
_N_RESAMPLES = 1000


def score(probabilities: Floats, labels: Strings, *, classes: Strings) -> dict[str, Any]:
    """Compute the metrics of predictions.

    Args:
        probabilities: float32 [N, C].
        labels: The true labels [N], each one of `classes`.
        classes: The C class names, sorted.

    Returns:
        `accuracy` and `macro_f1` (over the classes that occur in `labels`) in [0, 1], `confidence_interval` [low, high]
        of the accuracy, `baseline_accuracy` (of always predicting the commonest class of `labels`),
        `macro_f1_interval`, `expected_calibration_error` in [0, 1].
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
        "macro_f1_interval": f1_interval(codes, predicted, n_classes=len(classes)),
        "confidence_interval": accuracy_interval(int(is_right.sum()), len(is_right)),
        "expected_calibration_error": calibration_error(probabilities.max(axis=1), is_right),
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


def accuracy_interval(n_right: int, n_rows: int) -> list[float]:
    """Compute the 95 % Wilson interval of an accuracy, as [low, high].

    It is valid where every row is right or rows are few; the bootstrap would be certain there.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.

    >>> [round(end, 2) for end in accuracy_interval(90, 100)], [round(end, 2) for end in accuracy_interval(2, 2)]
    ([0.83, 0.94], [0.34, 1.0])
    """
    from scipy.stats import binomtest

    interval = binomtest(n_right, n_rows).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def f1_interval(codes: Rows, predicted: Rows, *, n_classes: int) -> list[float]:
    """Compute the 95 % interval of the macro F1 by the bootstrap: 1000 resamples of the rows, with a fixed seed.

    Args:
        codes: int64 [N], the true classes, N >= 1.
        predicted: int64 [N].
        n_classes: C.

    Returns:
        [low, high]; too narrow for few rows, and [1, 1] where all rows are right.

    Source: Efron 1979, Bootstrap Methods (percentiles); rows of one true and one predicted class are drawn together.
    """
    cells, counts = np.unique(codes * n_classes + predicted, return_counts=True)
    true, guessed = np.divmod(cells, n_classes)
    drawn = np.random.default_rng(0).multinomial(
        counts.sum(), counts / counts.sum(), size=_N_RESAMPLES
    )  # [draws, cells]
    n_true, n_guessed = (drawn @ _one_hot(column, n_classes) for column in (true, guessed))
    hits = (drawn * (true == guessed)) @ _one_hot(true, n_classes)
    f1 = 2 * hits / np.maximum(n_true + n_guessed, 1)
    macro = (f1 * (n_true > 0)).sum(axis=1) / (n_true > 0).sum(axis=1)
    return [float(end) for end in np.percentile(macro, [2.5, 97.5])]


def _one_hot(columns: Rows, n_columns: int) -> Any:
    """Return a sparse [n, n_columns] with a 1 in each row."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(columns)), (np.arange(len(columns)), columns)), shape=(len(columns), n_columns))


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

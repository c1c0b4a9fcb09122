"""95 % intervals of accuracies and macro F1: over images, or over groups where images of one group are alike."""

from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Rows

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
_N_RESAMPLES = 1000
_LEVEL = 0.975
"""Quantile of the upper end."""
_Z = 1.96
"""The same of the normal distribution."""


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


def grouped_accuracy_interval(is_right: Flags, groups: Rows) -> list[float]:
    """Compute the 95 % interval of an accuracy for images of other groups, as [low, high].

    The variance is that of whole groups, so that images of one group may be as alike as they are; ends are computed on
    the scale of the logit, with a quantile of Student's t for the number of groups, fewer where some are large.

    Args:
        is_right: bool [N], whether the prediction of each image is right.
        groups: int64 [N], equal for images of one group.

    Returns:
        [0, 1] where all images are of one group.

    Source: Bell and McCaffrey 2002, Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples;
    Carter, Schnepel and Steigerwald 2017, Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity.

    >>> alike = np.repeat([True, True, True, False], 25)
    >>> [round(end, 2) for end in grouped_accuracy_interval(alike, np.arange(100) // 5)]
    [0.5, 0.9]
    """
    accuracy = float(is_right.mean())
    return _logit_interval(accuracy, (is_right - accuracy) / len(is_right), groups)


def grouped_f1_interval(codes: Rows, predicted: Rows, groups: Rows, *, n_classes: int) -> list[float]:
    """Compute the 95 % interval of the macro F1 for images of other groups; see `grouped_accuracy_interval`.

    Args:
        codes: int64 [N], the true classes, N >= 1.
        predicted: int64 [N].
        groups: int64 [N], equal for images of one group.
        n_classes: C.
    """
    is_right = codes == predicted
    n_true, n_guessed, hits = (np.bincount(one, minlength=n_classes) for one in (codes, predicted, codes[is_right]))
    counts, occurs = np.maximum(n_true + n_guessed, 1), n_true > 0
    f1 = np.where(occurs, 2 * hits / counts, 0.0)
    # The derivative of the mean F1 by each image's weight, which the delta method needs.
    slopes = 2 * is_right / counts[codes] - (f1 / counts)[codes] - (f1 / counts)[predicted]
    return _logit_interval(float(f1.sum() / occurs.sum()), slopes / occurs.sum(), groups)


def _logit_interval(value: float, influence: Doubles, groups: Rows) -> list[float]:
    """Return the interval of a share by the influence of each image on it, [N]."""
    from scipy.special import expit, logit

    deviation, quantile, n_groups = _deviation(influence, groups)
    if n_groups == 1:
        return [0.0, 1.0]
    if not 0 < value < 1:
        far = 1 / (1 + n_groups / quantile**2)  # that of Wilson, of as many images as there are groups
        return [1 - far, 1.0] if value else [0.0, far]
    half = quantile * deviation / (value * (1 - value))
    return [float(expit(logit(value) - half)), float(expit(logit(value) + half))]


def _deviation(influence: Doubles, groups: Rows) -> tuple[float, float, int]:
    """Return the standard deviation of a mean by groups, the quantile to take it times, and the number of groups.

    Args:
        influence: float64 [N], of each image on the mean; their sum is 0.
        groups: int64 [N].
    """
    from scipy.stats import t

    numbers = np.unique(groups, return_inverse=True)[1]
    shares = np.bincount(numbers) / len(groups)
    if len(shares) == 1:
        return np.inf, np.inf, 1
    variance = (np.bincount(numbers, influence) ** 2 / (1 - shares)).sum()
    variance = max(variance, np.square(influence).sum())  # few groups that happen to be alike tell nothing
    return float(np.sqrt(variance)), float(t.ppf(_LEVEL, 1 / (shares**2).sum() - 1)), len(shares)


def difference_interval(gains: Rows, groups: Rows | None) -> list[float]:
    """Compute the 95 % interval of the difference of two accuracies on the same images, as [low, high].

    Args:
        gains: int64 [N], 1 where the first alone is right, -1 where the second alone is, else 0.
        groups: int64 [N], equal for images of one group; None for images that have nothing in common.

    Source: Agresti and Min 2005, Simple Improved Confidence Intervals for Comparing Matched Proportions; over groups as
    `grouped_accuracy_interval`.

    >>> [round(end, 2) for end in difference_interval(np.repeat([1, 0, -1], [10, 85, 5]), None)]
    [-0.03, 0.13]
    """
    n = len(gains)
    if groups is None:
        difference = gains.sum() / (n + 2)
        deviation = np.sqrt((np.abs(gains).sum() + 1) / (n + 2) - difference**2) / np.sqrt(n + 2)
        half = _Z * deviation
    else:
        difference = gains.mean()
        deviation, quantile, _ = _deviation((gains - difference) / n, groups)
        half = quantile * max(deviation, 1 / (n + 2))  # heads that agree on these images may differ on the next one
    return [float(max(difference - half, -1)), float(min(difference + half, 1))]

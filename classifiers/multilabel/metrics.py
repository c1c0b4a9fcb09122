"""Metrics of heads of several labels an image: average precisions, ranking, F1, calibration."""

from typing import Any

import numpy as np

from frieze.classifiers.intervals import Doubles
from frieze.classifiers.metrics import calibration_error
from frieze.classifiers.multilabel.examples import Mask, MultilabelExamples
from frieze.core import Floats, Rows, shorten

_N_RESAMPLES, _FEWEST_RESAMPLES, _MOST_CELLS = 200, 20, 200_000_000
_CELLS_AT_ONCE = 10_000_000  # each takes about a hundred bytes
_Z = 1.96
_FEWEST = 5
"""Images with a label without which a note says that its average precision is rough."""
_MAX_MISTAKES = 50


def average_precisions(scores: Floats, has_label: Mask, weights: Doubles | None = None) -> Doubles:
    """Compute the average precision of each label, as scikit-learn does: equal scores are one step.

    Args:
        scores: float32 [n, C].
        has_label: bool [n, C].
        weights: float64 [n], of the rows; None for equal ones.

    Returns:
        float64 [C] in [0, 1]; NaN for a label that no row has.

    >>> average_precisions(np.array([[.9], [.8], [.7]]), np.array([[True], [False], [True]])).round(3).tolist()
    [0.833]
    """
    weights = np.ones(len(scores)) if weights is None else weights
    precisions: Doubles = _resampled_precisions(scores, has_label, weights[None])[0]
    return precisions


def _resampled_precisions(scores: Floats, has_label: Mask, draws: Rows | Doubles) -> Doubles:
    """Compute the average precision of each label under each of R weightings of the rows [R, n]; float64 [R, C]."""
    n, n_labels = scores.shape
    n_at_once, precisions = max(1, _CELLS_AT_ONCE // n), np.empty((len(draws), n_labels))
    for start in range(0, n_labels, n_at_once):
        block = slice(start, start + n_at_once)
        rankings = _Rankings(scores[:, block], has_label[:, block])
        for of_draw, draw in zip(precisions, draws, strict=True):
            of_draw[block] = rankings.average_precisions(draw.astype(np.float64))
    return precisions


class _Rankings:
    """The order of the rows by the scores of each label."""

    def __init__(self, scores: Floats, has_label: Mask) -> None:
        self._order = np.argsort(-scores, axis=0, kind="stable")
        ordered = np.take_along_axis(scores, self._order, axis=0)
        self._has = np.take_along_axis(has_label, self._order, axis=0)
        is_end = np.vstack([ordered[1:] != ordered[:-1], np.ones((1, scores.shape[1]), bool)])
        positions = np.where(is_end, np.arange(len(scores))[:, None], len(scores))
        self._ends = np.minimum.accumulate(positions[::-1], axis=0)[::-1]  # of the rows with the same score

    def average_precisions(self, weights: Doubles) -> Doubles:
        of_rows = weights[self._order]
        relevant = of_rows * self._has
        shares = np.cumsum(relevant, axis=0) / np.maximum(np.cumsum(of_rows, axis=0), np.finfo(float).tiny)
        total = relevant.sum(axis=0)
        summed = (relevant * np.take_along_axis(shares, self._ends, axis=0)).sum(axis=0)
        precisions: Doubles = np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
        return precisions


def score_labels(probabilities: Floats, thresholds: Floats, has_label: Mask, groups: Rows | None) -> dict[str, Any]:
    """Compute the metrics of predictions.

    Args:
        probabilities: float32 [n, C].
        thresholds: float32 [C], from which on a label is predicted.
        has_label: bool [n, C]; labels that no row has are left out of `map` and `macro_f1`.
        groups: int64 [n], equal for images that are alike; None for images that have nothing in common.

    Returns:
        `map`, the mean over labels of the average precision, with `map_interval` (95 %, by resamples of the images or
        groups) and `baseline_map` (of a random order); `micro_average_precision` of all pairs of image and label;
        `label_ranking_average_precision` of images with a label, None without any; `macro_f1` and `micro_f1` at the
        thresholds; `exact_match`, the share of images all of whose labels are right; `expected_calibration_error` over
        pairs; `interval_over` and `n_test_groups` as of other heads.
    """
    from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

    is_tested, predicted = has_label.any(axis=0), probabilities >= thresholds
    has, has_any = has_label[:, is_tested], has_label.any(axis=1)
    n_groups = None if groups is None else len(np.unique(groups))
    ranking = (
        label_ranking_average_precision_score(has_label[has_any], probabilities[has_any]) if has_any.any() else None
    )
    return {
        "map": float(average_precisions(probabilities[:, is_tested], has).mean()),
        "map_interval": _interval(probabilities[:, is_tested], has, groups),
        "baseline_map": float(_random_precisions(has).mean()),
        "micro_average_precision": float(average_precision_score(has_label, probabilities, average="micro")),
        "label_ranking_average_precision": None if ranking is None else float(ranking),
        "macro_f1": float(_precision_recall_f1(has, predicted[:, is_tested])[2].mean()),
        "micro_f1": float(_precision_recall_f1(has_label.reshape(-1, 1), predicted.reshape(-1, 1))[2][0]),
        "exact_match": float((predicted == has_label).all(axis=1).mean()),
        "expected_calibration_error": calibration_error(probabilities.ravel(), has_label.ravel()),
        "interval_over": "images" if n_groups in {None, len(has_label)} else "groups",
        "n_test_groups": n_groups,
    }


def _interval(probabilities: Floats, has_label: Mask, groups: Rows | None) -> list[float]:
    """Compute the 95 % interval of the mean average precision, by the standard deviation over resamples.

    With few images of a label its average precision is too high on average. Resamples are above the figure by about as
    much, and the lower end is lowered by it.

    Source: Efron 1979, Bootstrap Methods.
    """
    numbers = np.arange(len(has_label)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups, generator = int(numbers.max()) + 1, np.random.default_rng(0)
    n_draws = int(np.clip(_MOST_CELLS // has_label.size, _FEWEST_RESAMPLES, _N_RESAMPLES))
    drawn = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_draws)
    draws = np.vstack([np.ones(len(numbers), np.int64), drawn[:, numbers]])
    precisions = _resampled_precisions(probabilities, has_label, draws)
    is_drawn = np.isfinite(precisions).any(axis=1)  # not where no image with a label is
    whole, *means = np.nanmean(precisions[is_drawn], axis=1).tolist()
    half, excess = _Z * float(np.std(means, ddof=1)), max(float(np.mean(means)) - whole, 0.0)
    return [max(whole - excess - half, 0.0), min(whole + half, 1.0)]


def _random_precisions(has_label: Mask) -> Doubles:
    """Compute the expected average precision of each label in a random order; with few images it is above their share.

    Source: Bestgen 2015, Exact Expected Average Precision of the Random Baseline for System Evaluation.
    """
    n, n_with = len(has_label), has_label.sum(axis=0)
    others = (n_with - 1) / max(n - 1, 1)
    precisions: Doubles = others + (1 - others) * (1 / np.arange(1, n + 1)).mean()
    return precisions


def notes_on_map(figures: dict[str, Any], labelled: MultilabelExamples) -> list[str]:
    """Describe what makes a mean average precision or its interval rough.

    Args:
        figures: The result of `score_labels`.
        labelled: The test rows. Of few with a label the average precision is too high on average, as that of a random
            order is, which the interval covers in part.
    """
    counts = labelled.has_label.sum(axis=0)
    rare = labelled.classes[(counts > 0) & (counts < _FEWEST)].tolist()
    notes = []
    if rare:
        notes.append(
            f"Labels on fewer than {_FEWEST} held-out images: {len(rare):,} ({shorten(rare)}). The mAP counts them like"
            " the others, and of so few it is rough, and more likely too high than too low."
        )
    low, high = figures["map_interval"]
    if low == high:
        notes.append("The interval of the mAP has no width: these images can't tell how far it is from that of others.")
    return notes


def report_labels(probabilities: Floats, thresholds: Floats, labelled: MultilabelExamples) -> dict[str, Any]:
    """Compute the figures of each label and the surest mistakes.

    Args:
        probabilities: float32 [n, C].
        thresholds: float32 [C].
        labelled: The n test rows.

    Returns:
        `per_class`: `class`, `average_precision` (None where no image has it), `threshold`, `precision`, `recall`, `f1`
        and `n_test`, the images that have it. `mistakes`, 50 at most: `id`, `uri`, `label`, `is_predicted` (else the
        label is missed) and `probability`, the farthest beyond its threshold first.
    """
    predicted = probabilities >= thresholds
    columns = (*_precision_recall_f1(labelled.has_label, predicted), labelled.has_label.sum(axis=0))
    precisions = average_precisions(probabilities, labelled.has_label)
    names = ("class", "average_precision", "threshold", "precision", "recall", "f1", "n_test")
    of_labels = [None if np.isnan(one) else one for one in precisions.tolist()]
    values = zip(labelled.classes, of_labels, thresholds.tolist(), *(one.tolist() for one in columns), strict=True)
    mistakes = _mistakes(probabilities, thresholds, predicted, labelled)
    return {"per_class": [dict(zip(names, row, strict=True)) for row in values], "mistakes": mistakes}


def _precision_recall_f1(has_label: Mask, predicted: Mask) -> tuple[Doubles, Doubles, Doubles]:
    """Compute precision, recall and F1 of each label, float64 [C]; 0 where they divide by 0.

    scikit-learn takes a single column for two classes, with and without the label.
    """
    n_right, n_with, n_predicted = (one.sum(axis=0) for one in (has_label & predicted, has_label, predicted))
    precision, recall = n_right / np.maximum(n_predicted, 1), n_right / np.maximum(n_with, 1)
    return precision, recall, 2 * n_right / np.maximum(n_with + n_predicted, 1)


def _mistakes(
    probabilities: Floats, thresholds: Floats, predicted: Mask, labelled: MultilabelExamples
) -> list[dict[str, Any]]:
    rows, codes = np.nonzero(predicted != labelled.has_label)
    surest = np.argsort(-np.abs(probabilities[rows, codes] - thresholds[codes]), kind="stable")[:_MAX_MISTAKES]
    rows, codes = rows[surest], codes[surest]
    mistaken = labelled.examples.take(rows)
    columns = (
        mistaken.ids,
        mistaken.uris,
        labelled.classes[codes],
        predicted[rows, codes].tolist(),
        probabilities[rows, codes].tolist(),
    )
    names = ("id", "uri", "label", "is_predicted", "probability")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

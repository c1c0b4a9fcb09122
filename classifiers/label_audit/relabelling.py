"""What corrected labels change: heads on the labels before and after, both judged by the labels after."""

import dataclasses
from collections import Counter

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.folds import FEWEST_CLASSES, fold_rows
from frieze.classifiers.data.splits import image_numbers
from frieze.classifiers.intervals import accuracy_interval, grouped_accuracy_interval
from frieze.classifiers.label_audit.out_of_fold import label_log_odds, predict_out_of_fold
from frieze.classifiers.solver.linear import fit_path
from frieze.classifiers.solver.row_space import reduce_width
from frieze.core import Floats, InputError, Rows, Strings

_N_FOLDS = 5
_FEWEST = 5
"""Images that a class needs: of fewer a fold may have none to learn from."""
_Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class OutOfFoldAccuracy:
    """How often heads are right on images that they were not fitted on.

    Attributes:
        accuracy: Share of right predictions.
        interval: The 95 % interval, [low, high]; over groups where images come in groups.
    """

    accuracy: float
    interval: list[float]


@dataclasses.dataclass(frozen=True)
class Relabelling:
    """Heads on the labels before and after they were corrected.

    Attributes:
        rows: int64 [n], the images that were judged: those with a label of five images or more.
        predictions: Their labels by the heads on the labels after [n].
        probabilities: float32 [n], of these predictions.
        log_odds: float32 [n], of another label against the label after (`label_log_odds`): the higher, the likelier it
            is wrong.
        before: The heads on the labels before.
        after: The heads on the labels after.
    """

    rows: Rows
    predictions: Strings
    probabilities: Floats
    log_odds: Floats
    before: OutOfFoldAccuracy
    after: OutOfFoldAccuracy


def measure_relabelling(
    embeddings: Floats, before: Strings, after: Strings, *, groups: Rows, seed: int = 0
) -> Relabelling:
    """Fit heads on the labels before and after, each without a fifth of the images, and judge it by that fifth.

    Both are judged by the labels after, on the same images and folds, at the cost that suits the labels after: what
    differs is what the heads learned from.

    Args:
        embeddings: float32 [N, D], of unit length.
        before: Labels [N], None for none: an image without one is judged but not learned from.
        after: Labels [N], None for none: an image without one has no part.
        groups: int64 [N], equal for rows of one file or image, which are in one fold; -1 for others.
        seed: Of the folds.

    Raises:
        InputError: Fewer than two classes have five images.
    """
    rows = _judged(after)
    classes, codes = np.unique(after[rows].astype(str), return_inverse=True)
    if len(classes) < FEWEST_CLASSES:
        raise InputError("Fewer than two labels have five images.", hint="Label more images first.")
    numbers = image_numbers(groups[rows])
    folds = fold_rows(codes, numbers, n_folds=_N_FOLDS, seed=seed)
    vectors = reduce_width(embeddings if len(rows) == len(embeddings) else embeddings[rows])
    held_out = predict_out_of_fold(vectors, codes, folds)
    predicted = held_out.probabilities.argmax(axis=1)
    earlier = _predict_before(vectors, before[rows], folds, classes, cost=held_out.cost)
    of_groups = numbers if (groups[rows] >= 0).any() else None
    return Relabelling(
        rows,
        classes[predicted].astype(object),
        held_out.probabilities.max(axis=1),
        label_log_odds(held_out.probabilities, codes),
        _accuracy(earlier == codes, of_groups),
        _accuracy(predicted == codes, of_groups),
    )


def _judged(labels: Strings) -> Rows:
    counts = Counter(labels[labels != None].tolist())  # noqa: E711  elementwise
    return np.flatnonzero([label is not None and counts[label] >= _FEWEST for label in labels])


def _predict_before(vectors: Floats, labels: Strings, folds: Rows, classes: Strings, *, cost: float) -> Rows:
    """Predict each row by a head on the labels before without its fold: int64 [n], numbers of the classes after."""
    known = np.array([label is not None for label in labels])
    names = np.unique([*classes, *labels[known]])
    codes = np.searchsorted(names, np.where(known, labels, names[0]).astype(str))
    place = {name: number for number, name in enumerate(classes.tolist())}
    number_of = np.array([place.get(name, -1) for name in names.tolist()])
    predicted = np.empty(len(labels), np.int64)
    for fold in range(_N_FOLDS):
        weights = (known & (folds != fold)).astype(np.float32)
        (solution,) = fit_path([(vectors, codes)], "softmax", costs=(cost,), n_classes=len(names), weights=weights)
        rows = np.flatnonzero(folds == fold)
        predicted[rows] = number_of[(vectors[rows] @ solution.coef.T + solution.intercept).argmax(axis=1)]
    return predicted


def _accuracy(is_right: _Flags, groups: Rows | None) -> OutOfFoldAccuracy:
    interval = (
        accuracy_interval(int(is_right.sum()), len(is_right))
        if groups is None
        else grouped_accuracy_interval(is_right, groups)
    )
    return OutOfFoldAccuracy(float(is_right.mean()), interval)

"""Grid search: choose a head's hyperparameter on cross-validation folds, and calibrate it on their predictions."""

import dataclasses
from collections import Counter

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import calibrate_logits
from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, map_rows
from frieze.classifiers.data.splits import FEWEST_CLASSES, Folds
from frieze.classifiers.registry import Classifier
from frieze.core import Floats, Strings

_TINY = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The result of cross-validation on folds.

    Attributes:
        value: The hyperparameter of highest accuracy; the simplest among equals.
        accuracies: Held-out accuracy by value; empty without folds.
        factor: 1 / temperature, which calibrates the logits on the held-out rows.
        confidences: float32 [n], the calibrated probability of each held-out prediction.
        is_right: bool [n], whether the prediction is right.
        loss: Mean cross-entropy of the calibrated held-out predictions; infinite without folds.
        unjudged: Held-out rows that are not scored, by class: their fold had no row of that class to fit on.
        uses_start: Whether the head is pulled to the weights of another one.
        is_better_without_start: Whether it could be, and is not.
    """

    value: float
    accuracies: dict[float, float] = dataclasses.field(default_factory=dict)
    factor: float = 1.0
    confidences: Floats = dataclasses.field(default_factory=lambda: np.empty(0, np.float32))
    is_right: npt.NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.empty(0, bool))
    loss: float = np.inf
    unjudged: dict[str, int] = dataclasses.field(default_factory=dict)
    uses_start: bool = False
    is_better_without_start: bool = False


def tune_head(
    kind: type[Classifier], embeddings: Embeddings, labels: Strings, folds: Folds, options: FitOptions
) -> Tuned:
    """Choose the hyperparameter of a kind of head on folds, and fit the temperature.

    Rows whose class their fold was not fitted on can't be right, whatever the value: they are left out.

    Args:
        kind: An entry of `HEADS`.
        embeddings: float32 [N, D] of unit length.
        labels: Class names [N].
        folds: From `make_folds`.
        options: Of the fit.
    """
    folds, unjudged = _drop_unfitted_classes(folds, labels)
    if not folds:
        return Tuned(kind.default, unjudged=unjudged)
    fitted: list[list[Classifier]] = []
    n_right = np.zeros(len(kind.grid))
    for train, held in folds:
        heads = list(kind.fit_each(embeddings[train], labels[train], kind.grid, options.take(train)))
        held_out = embeddings[held]
        n_right += [int((_predict(head, held_out) == labels[held]).sum()) for head in heads]
        fitted.append(heads)
    best = int(n_right.argmax())
    held_out_labels = labels[np.concatenate([held for _, held in folds])]
    classes = np.unique(np.concatenate([labels[train] for train, _ in folds]))
    logits = np.vstack(
        [_align_columns(heads[best], embeddings[held], classes) for heads, (_, held) in zip(fitted, folds, strict=True)]
    )
    accuracies = dict(zip(kind.grid, (n_right / len(held_out_labels)).tolist(), strict=True))
    codes = np.searchsorted(classes, held_out_labels)
    probabilities, factor = calibrate_logits(logits, codes)
    is_right = logits.argmax(axis=1) == codes
    loss = -float(np.log(np.maximum(probabilities[np.arange(len(codes)), codes], _TINY)).mean())
    return Tuned(kind.grid[best], accuracies, factor, probabilities.max(axis=1), is_right, loss, unjudged)


def _drop_unfitted_classes(folds: Folds, labels: Strings) -> tuple[Folds, dict[str, int]]:
    """Drop held-out rows of classes that their fold is not fitted on, and count them by class."""
    kept: Folds = []
    unjudged: Counter[str] = Counter()
    for train, held in folds:
        fitted = np.unique(labels[train])
        is_known = np.isin(labels[held], fitted) & (len(fitted) >= FEWEST_CLASSES)
        unjudged.update(labels[held[~is_known]].tolist())
        if is_known.any():
            kept.append((train, held[is_known]))
    return kept, dict(sorted(unjudged.items()))


def _predict(head: Classifier, embeddings: Embeddings) -> Strings:
    predicted: Strings = head.classes[map_rows(head.logits, embeddings).argmax(axis=1)]
    return predicted


def _align_columns(head: Classifier, embeddings: Embeddings, classes: Strings) -> Floats:
    """Compute logits with a column for each class, -inf for classes that the head was not fitted on."""
    logits = map_rows(head.logits, embeddings)
    wide = np.full((len(logits), len(classes)), -np.inf, np.float32)
    wide[:, np.searchsorted(classes, head.classes)] = logits
    return wide

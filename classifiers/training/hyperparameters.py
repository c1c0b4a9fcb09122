"""Choosing a head's setting on folds of the training rows, and what those rows tell about its probabilities."""

import dataclasses
from collections import Counter

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, mapped
from frieze.classifiers.data.splits import FEWEST_CLASSES, Folds
from frieze.classifiers.registry import Classifier
from frieze.core import Floats, Rows, Strings


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What folds told.

    Attributes:
        value: The setting that was right most often; of several alike the simplest.
        accuracies: Accuracy on the rows that were not fitted on, by value; empty where there were no folds.
        factor: On the margins, so that their softmax explains those rows best.
        confidences: float32 [n], the probability of the prediction for each of them, at that factor.
        is_right: bool [n], whether the prediction is right.
        unjudged: Rows that were held out and could not be judged, by class: the fold had none of that class to fit on.
    """

    value: float
    accuracies: dict[float, float] = dataclasses.field(default_factory=dict)
    factor: float = 1.0
    confidences: Floats = dataclasses.field(default_factory=lambda: np.empty(0, np.float32))
    is_right: npt.NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.empty(0, bool))
    unjudged: dict[str, int] = dataclasses.field(default_factory=dict)


def tune_head(
    kind: type[Classifier], embeddings: Embeddings, labels: Strings, folds: Folds, terms: FitOptions
) -> Tuned:
    """Choose a kind's value on folds, and the factor on its margins.

    A row whose class its fold was not fitted on can't be right, whatever the value: such rows count for neither.

    Args:
        kind: An entry of `HEADS`.
        embeddings: float32 [N, D] of unit length.
        labels: Class names [N].
        folds: Of `make_folds`.
        terms: Of the fit.
    """
    folds, unjudged = _judgeable(folds, labels)
    if not folds:
        return Tuned(kind.usual, unjudged=unjudged)
    fitted: list[list[Classifier]] = []
    n_right = np.zeros(len(kind.values))
    for train, held in folds:
        heads = list(kind.fit_each(embeddings[train], labels[train], kind.values, terms.take(train)))
        unseen = embeddings[held]
        n_right += [int((_predicted(head, unseen) == labels[held]).sum()) for head in heads]
        fitted.append(heads)
    best = int(n_right.argmax())
    seen = labels[np.concatenate([held for _, held in folds])]
    classes = np.unique(np.concatenate([labels[train] for train, _ in folds]))
    margins = np.vstack(
        [_spread(heads[best], embeddings[held], classes) for heads, (_, held) in zip(fitted, folds, strict=True)]
    )
    accuracies = dict(zip(kind.values, (n_right / len(seen)).tolist(), strict=True))
    tuned = _judged(kind.values[best], accuracies, margins, np.searchsorted(classes, seen))
    return dataclasses.replace(tuned, unjudged=unjudged)


def _judgeable(folds: Folds, labels: Strings) -> tuple[Folds, dict[str, int]]:
    """Leave out of folds the rows of classes that they do not fit; count these by class."""
    kept: Folds = []
    unjudged: Counter[str] = Counter()
    for train, held in folds:
        fitted = np.unique(labels[train])
        is_known = np.isin(labels[held], fitted) & (len(fitted) >= FEWEST_CLASSES)
        unjudged.update(labels[held[~is_known]].tolist())
        if is_known.any():
            kept.append((train, held[is_known]))
    return kept, dict(sorted(unjudged.items()))


def _judged(value: float, accuracies: dict[float, float], margins: Floats, codes: Rows) -> Tuned:
    from scipy.special import softmax

    factor = fit_temperature(margins, codes)
    confidences = softmax(factor * margins, axis=1).max(axis=1).astype(np.float32)
    return Tuned(value, accuracies, factor, confidences, margins.argmax(axis=1) == codes)


def _predicted(head: Classifier, embeddings: Embeddings) -> Strings:
    predicted: Strings = head.classes[mapped(head.margins, embeddings).argmax(axis=1)]
    return predicted


def _spread(head: Classifier, embeddings: Embeddings, classes: Strings) -> Floats:
    """Return margins with a column for each of some classes, -inf for those that the head was not fitted on."""
    margins = mapped(head.margins, embeddings)
    wide = np.full((len(margins), len(classes)), -np.inf, np.float32)
    wide[:, np.searchsorted(classes, head.classes)] = margins
    return wide

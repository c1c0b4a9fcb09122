"""Grid search: choose a head's hyperparameter on cross-validation folds, and calibrate it on their predictions."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import calibrate_logits
from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, map_rows
from frieze.classifiers.data.folds import FEWEST_CLASSES, Folds
from frieze.classifiers.registry import Classifier
from frieze.core import Floats, Rows, Strings, evenly_spaced

_SAMPLED = 10_000
_SAMPLED_PER_CLASS = 50
"""From more rows than these a sample is drawn, on which the hyperparameter of a kind that `is_iterative` is chosen."""
_TINY = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The result of cross-validation on folds.

    Attributes:
        value: The hyperparameter of highest accuracy; the simplest among equals.
        accuracies: Held-out accuracy by value that was tried; empty without folds.
        factor: 1 / temperature, which calibrates the logits on the held-out rows.
        confidences: float32 [n], the calibrated probability of each held-out prediction.
        is_right: bool [n], whether the prediction is right.
        loss: Mean cross-entropy of the calibrated held-out predictions; infinite without folds.
        unjudged: Held-out rows that are not scored, by class: their fold had no row of that class to fit on.
        uses_start: Whether the head is pulled to the weights of another one.
        is_better_without_start: Whether it could be, and is not.
        near: A head that was fitted on most of the rows, where those are many; else None.
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
    near: Classifier | None = None


def tune_head(
    kind: type[Classifier], embeddings: Embeddings, labels: Strings, folds: Folds, options: FitOptions
) -> Tuned:
    """Choose the hyperparameter of a kind of head on folds, and fit the temperature.

    Rows whose class their fold was not fitted on can't be right, whatever the value: they are left out. Where rows are
    many, a kind that `is_iterative` chooses on a sample of the first fold, and is fitted on each fold once.

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
    search = _Search(kind, embeddings, labels, options)
    sample = _sample(folds[0][0], labels)
    if kind.is_iterative and len(sample) < len(folds[0][0]):
        accuracies = search.climb(sample, folds[0][1])
        value = _first_of_best(accuracies)
        heads = [next(search.fit(train, [value], is_rough=True)) for train, _ in folds]
        near = heads[0]
    else:
        accuracies, fitted = search.try_all(folds)
        value, near = _first_of_best(accuracies), None
        heads = fitted[value]
    return _calibrate(search, folds, heads, Tuned(value, accuracies, unjudged=unjudged, near=near))


def _first_of_best(accuracies: dict[float, float]) -> float:
    return max(accuracies, key=lambda value: accuracies[value])


def _sample(rows: Rows, labels: Strings) -> Rows:
    """Sample rows evenly, of each class its share; all of them where they are not many."""
    most = max(_SAMPLED, _SAMPLED_PER_CLASS * len(np.unique(labels[rows])))
    return rows if len(rows) <= most else np.sort(evenly_spaced(rows[np.argsort(labels[rows], kind="stable")], most))


@dataclasses.dataclass(frozen=True)
class _Search:
    """Fits of a kind of head on some of the rows, judged on others."""

    kind: type[Classifier]
    embeddings: Embeddings
    labels: Strings
    options: FitOptions

    def fit(self, rows: Rows, grid: Sequence[float], *, is_rough: bool = False) -> Iterator[Classifier]:
        """Fit a head for each value."""
        options = dataclasses.replace(self.options.take(rows), is_rough=is_rough)
        return self.kind.fit_each(self.embeddings[rows], self.labels[rows], grid, options)

    def n_right(self, head: Classifier, embeddings: Embeddings, held: Rows) -> int:
        """Count the right predictions of held-out rows, whose embeddings these are."""
        return int((head.classes[map_rows(head.logits, embeddings).argmax(axis=1)] == self.labels[held]).sum())

    def try_all(self, folds: Folds) -> tuple[dict[float, float], dict[float, list[Classifier]]]:
        """Try each value on each fold: the share of right predictions, and the heads, by value."""
        fitted: dict[float, list[Classifier]] = {value: [] for value in self.kind.grid}
        n_right = dict.fromkeys(self.kind.grid, 0)
        for train, held in folds:
            heads = list(self.fit(train, self.kind.grid))
            held_out = self.embeddings[held]
            for value, head in zip(self.kind.grid, heads, strict=True):
                n_right[value] += self.n_right(head, held_out, held)
                fitted[value].append(head)
        n_held = sum(len(held) for _, held in folds)
        return {value: count / n_held for value, count in n_right.items()}, fitted

    def climb(self, train: Rows, held: Rows) -> dict[float, float]:
        """Try the default value, then simpler ones and others, each way until the accuracy falls.

        The way to heads that are less simple, and take longer to fit, also ends where a step gains less than half the
        standard error.
        """
        middle, held_out = self.kind.grid.index(self.kind.default), self.embeddings[held]
        accuracies: dict[float, float] = {}
        for values, least_gain in ((self.kind.grid[middle:], 0.5), (self.kind.grid[:middle][::-1], 0.0)):
            before = max(accuracies.values(), default=-1.0)
            for value, head in zip(values, self.fit(train, values, is_rough=True), strict=False):
                accuracies[value] = now = self.n_right(head, held_out, held) / len(held)
                if now < before + least_gain * (now * (1 - now) / len(held)) ** 0.5:
                    break
                before = now
        return {value: accuracies[value] for value in self.kind.grid if value in accuracies}


def _calibrate(search: _Search, folds: Folds, heads: list[Classifier], tuned: Tuned) -> Tuned:
    """Fit the temperature on the predictions of one head a fold for its held-out rows."""
    held_out_labels = search.labels[np.concatenate([held for _, held in folds])]
    classes = np.unique(np.concatenate([head.classes for head in heads]))
    logits = np.vstack(
        [_align_columns(head, search.embeddings[held], classes) for head, (_, held) in zip(heads, folds, strict=True)]
    )
    codes = np.searchsorted(classes, held_out_labels)
    probabilities, factor = calibrate_logits(logits, codes)
    loss = -float(np.log(np.maximum(probabilities[np.arange(len(codes)), codes], _TINY)).mean())
    measured = {"confidences": probabilities.max(axis=1), "is_right": logits.argmax(axis=1) == codes, "loss": loss}
    return dataclasses.replace(tuned, factor=factor, **measured)


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


def _align_columns(head: Classifier, embeddings: Embeddings, classes: Strings) -> Floats:
    """Compute logits with a column for each class, -inf for classes that the head was not fitted on."""
    logits = map_rows(head.logits, embeddings)
    wide = np.full((len(logits), len(classes)), -np.inf, np.float32)
    wide[:, np.searchsorted(classes, head.classes)] = logits
    return wide

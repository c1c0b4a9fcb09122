"""Fit a head on the answers given so far, and score every image by it."""

import dataclasses

import numpy as np
import numpy.typing as npt

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.data.folds import make_folds
from frieze.classifiers.intervals import accuracy_interval
from frieze.classifiers.kinds.linear import LinearHead
from frieze.classifiers.solver.linear import Solution, fit_linear
from frieze.classifiers.teaching.unit_vectors import UnitVectors
from frieze.core import Floats, Rows, Strings, evenly_spaced, one_blas_thread

_TOTAL_COST, _LEAST_COST = 30_000.0, LinearHead.default
"""The cost of all rows together, and the least of one, the default of `train`, which chooses it on folds.

With few rows a higher cost is better: on photographs by five points of accuracy at 20 rows, by one at 100.
"""
_MOST_FOLDED = 300  # examples that calibrate: more would take longer than the fit
SURE = 0.9
"""The least probability of a class at which an image is surely of it."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The images that were labelled.

    Attributes:
        rows: int64 [n], row numbers of the collection, each once.
        labels: Their labels [n].
        is_held_out: bool [n], whether an image was drawn at random to measure the head, which is not fitted on it.
    """

    rows: Rows
    labels: Strings
    is_held_out: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fitted(self) -> tuple[Rows, Strings]:
        """Rows and labels of those that a head is fitted on."""
        return self.rows[~self.is_held_out], self.labels[~self.is_held_out]


@dataclasses.dataclass(frozen=True)
class Taught:
    """What a head that was fitted on answers says of every image.

    Attributes:
        classes: The C class names, sorted; with C = 1 there is nothing to tell apart, and with C = 0 no answer yet.
        scores: float32 [N, C]: probabilities where C >= 2; cosines to the mean of the examples where C = 1.
        n_held_out: Answers that it was measured on.
        n_right: How many of these it has right.
    """

    classes: Strings
    scores: Floats
    n_held_out: int
    n_right: int

    @property
    def is_fitted(self) -> bool:
        """Whether there are two classes or more, so that scores are probabilities."""
        return len(self.classes) > 1

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions on the held-out answers; None without any."""
        return self.n_right / self.n_held_out if self.n_held_out and self.is_fitted else None

    @property
    def interval(self) -> list[float] | None:
        """The 95 % Wilson interval of the accuracy, [low, high]; None without held-out answers."""
        return None if self.accuracy is None else accuracy_interval(self.n_right, self.n_held_out)

    def count_sure(self) -> list[int]:
        """Count the images that are surely of each class [C]; all others are unsure."""
        if not self.is_fitted:
            return [0] * len(self.classes)
        return [int(n) for n in (self.scores >= SURE).sum(axis=0)]


def teach(vectors: UnitVectors, answers: Answers) -> Taught:
    """Fit a logistic regression on the answers that are not held out, and score every image by it.

    It takes some milliseconds to fit, and one pass over the vectors.

    Args:
        vectors: Of N images.
        answers: At least none.

    >>> vectors = UnitVectors.of(np.eye(4, dtype="f4"))
    >>> answers = Answers(np.array([0, 1]), np.array(["cat", "dog"], object), np.zeros(2, bool))
    >>> teach(vectors, answers).scores.argmax(axis=1).tolist()[:2]
    [0, 1]
    """
    rows, labels = answers.fitted
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    scores = _score(vectors, vectors.take(rows), codes)
    held_out, its_labels = answers.rows[answers.is_held_out], answers.labels[answers.is_held_out].astype(str)
    predicted = classes[scores[held_out].argmax(axis=1)] if len(classes) else np.zeros_like(its_labels)
    return Taught(classes.astype(object), scores, len(held_out), int((predicted == its_labels).sum()))


def _score(vectors: UnitVectors, examples: Floats, codes: Rows) -> Floats:
    from scipy.special import softmax

    n_classes = int(codes.max(initial=-1)) + 1
    if not n_classes:
        return np.empty((len(vectors), 0), np.float32)
    if n_classes == 1:
        mean = examples.mean(axis=0)
        mean /= max(float(np.linalg.norm(mean)), np.finfo(np.float32).tiny)
        return np.concatenate([block @ mean[:, None] for block in vectors.blocks()])
    solution = fit_answers(examples, codes)
    factor = _calibrate(solution, examples, codes)
    logits = (factor * _logits(solution, block) for block in vectors.blocks())
    return np.concatenate([softmax(block, axis=1) for block in logits], dtype=np.float32)


def fit_answers(examples: Floats, codes: Rows) -> Solution:
    """Fit float32 [n, D] of at least two classes, numbered from 0."""
    cost = max(_LEAST_COST, _TOTAL_COST / len(examples))
    with one_blas_thread():  # several would take thirty times as long on so few rows
        return fit_linear([(examples, codes)], "softmax", cost=cost, n_classes=int(codes.max()) + 1)


def _calibrate(solution: Solution, examples: Floats, codes: Rows) -> float:
    """Return the factor on the logits by which probabilities are those of images that the head was not fitted on.

    It is fitted on folds, as in `train`; where these are too few examples, on the examples themselves, whose labels are
    then taken to be as unsure as so few are. Held-out answers have no part: they must not touch what is asked next.
    """
    sampled = evenly_spaced(np.arange(len(codes)), _MOST_FOLDED)
    judged = []
    for fold, rest in make_folds(codes[sampled].astype(object), None, seed=0):
        known, fold_codes = np.unique(codes[sampled[fold]], return_inverse=True)
        logits = np.full((len(rest), len(solution.coef)), -np.inf, np.float32)
        logits[:, known] = _logits(fit_answers(examples[sampled[fold]], fold_codes), examples[sampled[rest]])
        judged.append((logits, codes[sampled[rest]]))
    logits, judged_codes = map(np.concatenate, zip(*judged or [(_logits(solution, examples), codes)], strict=True))
    return fit_temperature(logits, judged_codes)


def _logits(solution: Solution, vectors: Floats) -> Floats:
    logits: Floats = vectors @ solution.coef.T + solution.intercept
    return logits

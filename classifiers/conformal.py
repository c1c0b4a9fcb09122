"""Conformal prediction sets: the classes that hold the label of an image with a stated probability."""

import dataclasses

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError, Rows, Strings, counted

_N_FOLDS = 10
_ROUNDING = 1e-9  # 1 - 0.9 is a little less than 0.1


@dataclasses.dataclass(frozen=True)
class HeldOutPredictions:
    """What a head predicted of its held-out images, which calibrate the sets.

    Attributes:
        labels: The true labels [n].
        predictions: The predicted classes [n].
        probabilities: float32 [n], of the predictions.
        label_probabilities: float32 [n], of the labels.
    """

    labels: Strings
    predictions: Strings
    probabilities: Floats
    label_probabilities: Floats

    @classmethod
    def of(cls, probabilities: Floats, labels: Strings, classes: Strings) -> "HeldOutPredictions":
        """Return it for the probabilities float32 [n, C] of held-out images."""
        codes = np.searchsorted(classes, labels)
        predictions = classes[probabilities.argmax(axis=1)]
        return cls(labels, predictions, probabilities.max(axis=1), probabilities[np.arange(len(codes)), codes])

    def thresholds(self, classes: Strings, confidence: float) -> Floats:
        """Compute the probability from which on each class is in the set.

        A class with too few held-out images for a threshold of its own gets that of all images.

        Args:
            classes: The names of the C classes, sorted.
            confidence: Share of the images whose set shall hold their label, in (0, 1).

        Returns:
            float32 [C].

        Raises:
            InputError: The confidence is no share, or there are too few held-out images for it.

        The quantiles are interpolated: sets of few images hold the label about as often as stated, where the next lower
        probability would hold it up to one image in n + 1 more often.

        Source: Vovk 2012, Conditional validity of inductive conformal predictors, section 4 (a threshold for each
        class); Sadinle et al. 2019, Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, section 2.
        """
        self.check(confidence)
        codes = np.searchsorted(classes, self.labels)
        return _thresholds(codes, self.label_probabilities, self._has_own(codes, classes, confidence), confidence)

    def check(self, confidence: float) -> None:
        """Check that there are enough held-out images for a confidence.

        Raises:
            InputError: There are not, or the confidence is no share.
        """
        check_confidence(confidence)
        n_needed = fewest_images(confidence)
        if len(self.labels) < n_needed:
            raise InputError(
                f"The head has {counted(len(self.labels), 'held-out image')}; a confidence of {confidence} takes"
                f" {n_needed:,}.",
                hint="Use a lower `confidence`, or train on more labelled images.",
            )

    def pooled(self, classes: Strings, confidence: float) -> list[str]:
        """Return the classes with too few held-out images for a threshold of their own."""
        has_own = self._has_own(np.searchsorted(classes, self.labels), classes, confidence)
        return [str(name) for name in classes[~has_own]]

    def coverage(self, classes: Strings, confidence: float) -> float:
        """Compute the share of held-out images whose set holds their label, by cross-validation: in [0, 1].

        The thresholds for each tenth of them are those of the others.
        """
        codes = np.searchsorted(classes, self.labels)
        has_own = self._has_own(codes, classes, confidence)
        fold = _deal(codes) % _N_FOLDS
        is_in = self.labels == self.predictions
        for number in range(_N_FOLDS):
            held = fold == number
            lowest = _thresholds(codes[~held], self.label_probabilities[~held], has_own, confidence)
            is_in[held] |= self.label_probabilities[held] >= lowest[codes[held]]
        return float(is_in.mean())

    def _has_own(self, codes: Rows, classes: Strings, confidence: float) -> npt.NDArray[np.bool_]:
        has_own: npt.NDArray[np.bool_] = np.bincount(codes, minlength=len(classes)) >= fewest_images(confidence)
        return has_own


def check_confidence(confidence: float) -> None:
    """Check that a confidence is a share.

    Raises:
        InputError: It is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise InputError(
            f"The confidence is {confidence}; it must be a share of the images, between 0 and 1.",
            hint="Use for example `confidence=0.95`",
        )


def fewest_images(confidence: float) -> int:
    """Return how many held-out images a threshold takes.

    >>> fewest_images(0.95), fewest_images(0.9)
    (19, 9)
    """
    return max(1, int(np.ceil(1 / (1 - confidence) - 1 - _ROUNDING)))


def prediction_sets(probabilities: Floats, thresholds: Floats) -> npt.NDArray[np.bool_]:
    """Return which classes are in the set of each image; the most likely one always is.

    Args:
        probabilities: float32 [N, C].
        thresholds: float32 [C], from `HeldOutPredictions.thresholds`.

    >>> prediction_sets(np.array([[0.6, 0.4], [0.2, 0.8]], "f4"), np.array([0.3, 0.9], "f4")).tolist()
    [[True, False], [False, True]]
    """
    is_in: npt.NDArray[np.bool_] = probabilities >= thresholds
    is_in[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return is_in


def _thresholds(codes: Rows, label_probabilities: Floats, has_own: npt.NDArray[np.bool_], confidence: float) -> Floats:
    """Compute the threshold of each class, float32 [C]; that of all images where a class has none of its own."""
    thresholds = np.full(len(has_own), _threshold(label_probabilities, confidence), np.float32)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(has_own) + 1))
    for code in np.flatnonzero(has_own):
        rows = order[starts[code] : starts[code + 1]]
        if len(rows):
            thresholds[code] = _threshold(label_probabilities[rows], confidence)
    return thresholds


def _threshold(label_probabilities: Floats, confidence: float) -> float:
    """Return the (1 - confidence) (n + 1)-th lowest probability, interpolated, and the lowest of too few."""
    return float(np.quantile(label_probabilities, 1 - confidence, method="weibull"))


def _deal(codes: Rows) -> Rows:
    """Number the images class by class, int64 [n], so that each fold gets its share of each class."""
    numbers = np.empty(len(codes), np.int64)
    numbers[np.argsort(codes, kind="stable")] = np.arange(len(codes))
    return numbers

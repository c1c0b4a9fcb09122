import numpy as np
import pytest
from scipy.special import expit

from frieze.classifiers.multilabel import calibration
from frieze.classifiers.multilabel.calibration import choose_thresholds, fit_sigmoid


def f1(has_label, probabilities, threshold):
    """Return the F1 of predicting a label from a threshold on."""
    predicted = probabilities >= threshold
    return 2 * (predicted & has_label).sum() / (predicted.sum() + has_label.sum())


def test_probabilities_are_as_often_right():
    """Decisions of any scale become the probabilities that they were drawn by."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-1, 2, 20_000)
    slope, intercept = fit_sigmoid((5 * logits + 3).astype("f4"), generator.random(20_000) < expit(logits))
    assert (5 * slope, 3 * slope + intercept) == pytest.approx((1, 0), abs=0.05)


def test_separable_decisions_are_never_certain():
    """Ten images that a decision separates leave a chance of one in twelve, as Platt's targets do."""
    slope, intercept = fit_sigmoid(np.repeat([-1, 1], 10).astype("f4"), np.repeat([False, True], 10))
    assert expit(slope * np.array([-1, 1]) + intercept) == pytest.approx([1 / 12, 11 / 12], abs=0.01)


def test_the_order_stays():
    """Decisions that are wrong on the held-out rows get the share of the label, not the opposite order."""
    slope, intercept = fit_sigmoid(np.arange(20, dtype="f4"), np.arange(20) < 5)
    assert slope == pytest.approx(0, abs=1e-3)
    assert expit(intercept) == pytest.approx(0.25, abs=0.05)


def test_no_other_threshold_has_a_higher_f1():
    """The threshold of a label has the highest F1 of all that its probabilities leave."""
    generator = np.random.default_rng(0)
    has_label = generator.random((300, 2)) < [0.4, 0.1]
    probabilities = (0.3 * has_label + 0.7 * generator.random((300, 2))).astype("f4")
    for column, threshold in enumerate(choose_thresholds(probabilities, has_label)):
        of_label, scores = has_label[:, column], probabilities[:, column]
        assert f1(of_label, scores, threshold) == max(f1(of_label, scores, one) for one in scores)


def test_a_rare_label_has_the_threshold_of_all():
    """A label with fewer than five images gets the threshold with the highest F1 over all labels."""
    generator = np.random.default_rng(0)
    has_label = generator.random((300, 2)) < [0.4, 0.2]
    has_label[:, 1] &= np.cumsum(has_label[:, 1]) <= 4
    probabilities = (0.3 * has_label + 0.7 * generator.random((300, 2))).astype("f4")
    _, shared = choose_thresholds(probabilities, has_label)
    assert f1(has_label, probabilities, shared) == max(
        f1(has_label, probabilities, one) for one in probabilities.ravel()
    )


def test_of_many_images_some_are_enough(monkeypatch):
    """The threshold of all labels is taken from images at even steps where pairs of image and label are many."""
    has_label = np.zeros((300, 2), bool)
    has_label[:, 0] = np.arange(300) % 2
    has_label[:4, 1] = True
    probabilities = np.where(has_label, 0.8, 0.2).astype("f4")
    probabilities[1:299] = 0.5
    assert choose_thresholds(probabilities, has_label)[1] == pytest.approx(0.35)
    monkeypatch.setattr(calibration, "_MOST_PAIRS", 4)
    assert choose_thresholds(probabilities, has_label)[1] == pytest.approx(0.5)

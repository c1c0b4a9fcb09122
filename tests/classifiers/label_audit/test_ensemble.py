import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from frieze.classifiers.calibration import calibrate_probabilities
from frieze.classifiers.label_audit.audit import pool_probabilities


def probabilities(codes, *, n_right, probability):
    """Return probabilities float32 [N, 2] that is right on the first rows, as sure of each."""
    is_right = np.arange(len(codes)) < n_right
    of_label = np.where(is_right, probability, 1 - probability)
    actual = np.empty((len(codes), 2), np.float32)
    actual[np.arange(len(codes)), codes], actual[np.arange(len(codes)), 1 - codes] = of_label, 1 - of_label
    return actual


@pytest.fixture
def codes():
    """100 class numbers, half of them 0."""
    return np.arange(100) % 2


def test_the_ensemble_is_the_mean_that_explains_the_labels_best(codes):
    """No other weighted mean of two estimates gives the labels a higher likelihood."""
    one, other = (np.random.default_rng(seed).dirichlet([1.5, 1], 100).astype("f4") for seed in (0, 1))
    one[:, :] = np.where(codes[:, None] == 0, one, one[:, ::-1])

    def loss(weight):
        mean = weight * one + (1 - weight) * other
        return -np.log(mean[np.arange(100), codes]).sum()

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded")
    pooled = pool_probabilities([one, other], codes)
    assert 0.05 < best.x < 0.95
    assert pooled == pytest.approx(best.x * one + (1 - best.x) * other, abs=0.01)
    assert pooled.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-6)
    assert pooled.dtype == np.float32


def test_a_wrong_estimate_has_no_weight(codes):
    """Beside an estimate that is right, one that is wrong has next to no weight."""
    right, wrong = probabilities(codes, n_right=100, probability=0.9), probabilities(codes, n_right=0, probability=0.9)
    assert pool_probabilities([wrong, right], codes) == pytest.approx(right, abs=0.01)


def test_labels_without_probability_stay_finite(codes):
    """A label that every estimate considers impossible leaves finite probabilities."""
    sure = probabilities(codes, n_right=99, probability=1.0)
    assert pool_probabilities([sure, sure], codes) == pytest.approx(sure, abs=1e-6)


@pytest.mark.parametrize(("n_right", "probability"), [(80, 0.99), (80, 0.6)])
def test_calibrated_is_as_sure_as_it_is_right(codes, n_right, probability):
    """Calibrated probabilities that are right on four of five rows are about .8, however sure they were."""
    honest = calibrate_probabilities(probabilities(codes, n_right=n_right, probability=probability), codes)
    assert honest.max(axis=1) == pytest.approx(np.full(100, 0.8), abs=0.02)
    assert (honest.argmax(axis=1) == codes)[:80].all()

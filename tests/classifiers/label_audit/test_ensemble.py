import numpy as np
import pytest
from scipy.special import softmax

from frieze.classifiers.calibration import calibrate_probabilities, fit_temperature
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


def test_the_pool_is_the_calibrated_mean_of_logarithms(codes):
    """Two estimates make the softmax of their mean logarithms, at the temperature that explains the labels best."""
    one, other = (np.random.default_rng(seed).dirichlet([1.5, 1], 100).astype("f4") for seed in (0, 1))
    one[:, :] = np.where(codes[:, None] == 0, one, one[:, ::-1])
    pooled = pool_probabilities([one, other], codes)
    logs = np.log(one) + np.log(other)
    expected = softmax(fit_temperature(logs, codes) * logs, axis=1)
    assert pooled == pytest.approx(expected, abs=1e-3)
    assert pooled.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-6)
    assert pooled.dtype == np.float32


def test_an_estimate_that_knows_nothing_changes_nothing(codes):
    """Beside an estimate that is right on four of five rows, one that is even leaves its probabilities."""
    honest, even = probabilities(codes, n_right=80, probability=0.8), np.full((100, 2), 0.5, np.float32)
    assert pool_probabilities([even, honest], codes) == pytest.approx(honest, abs=0.01)


def test_labels_without_probability_stay_finite(codes):
    """A label that every estimate considers impossible leaves finite probabilities."""
    sure = probabilities(codes, n_right=99, probability=1.0)
    assert np.isfinite(pool_probabilities([sure, sure], codes)).all()


@pytest.mark.parametrize(("n_right", "probability"), [(80, 0.99), (80, 0.6)])
def test_calibrated_is_as_sure_as_it_is_right(codes, n_right, probability):
    """Calibrated probabilities that are right on four of five rows are about .8, however sure they were."""
    honest = calibrate_probabilities(probabilities(codes, n_right=n_right, probability=probability), codes)
    assert honest.max(axis=1) == pytest.approx(np.full(100, 0.8), abs=0.02)
    assert (honest.argmax(axis=1) == codes)[:80].all()

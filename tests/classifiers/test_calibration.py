import numpy as np
import pytest

from frieze.classifiers.calibration import fit_temperature


def test_fit_temperature_finds_the_temperature():
    """Logits that are log-odds times 5 are divided by 5."""
    generator = np.random.default_rng(0)
    log_odds = generator.normal(size=(20_000, 4))
    codes = (log_odds + generator.gumbel(size=log_odds.shape)).argmax(1)
    assert fit_temperature(5 * log_odds, codes) == pytest.approx(0.2, rel=0.05)


def test_logits_without_a_mistake_do_not_end_in_certainty():
    """With N rows all right the highest probability stays near (N + 1) / (N + 2)."""
    logits = np.eye(2)[[0, 1] * 5]
    factor = fit_temperature(logits, np.array([0, 1] * 5))
    assert 1 / (1 + np.exp(-factor)) == pytest.approx(11 / 12, abs=0.001)


def test_an_unknown_class_has_no_part():
    """A column of -inf, of rows whose head was not fitted on that class, changes nothing about the factor."""
    generator = np.random.default_rng(0)
    logits = 3 * generator.normal(size=(500, 3))
    codes = (logits / 3 + generator.gumbel(size=logits.shape)).argmax(1)
    wide = np.column_stack([logits, np.full(500, -np.inf)])
    assert fit_temperature(wide, codes) == pytest.approx(fit_temperature(logits, codes))

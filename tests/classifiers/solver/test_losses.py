import numpy as np
import pytest
from scipy.special import log_softmax

from frieze.classifiers.solver.losses import LOSSES

PLACES = (np.arange(6), np.array([0, 1, 2, 2, 1, 0]))
WEIGHTS = np.array([1, 2, 0, 1, 3, 0.5], "f4")


def of_block(name, decisions, weights=WEIGHTS):
    """Return loss, curvature and derivative of a block, in double precision."""
    derivative = np.array(decisions, dtype="f8")
    loss, curvature = LOSSES[name].of_block(derivative, PLACES, weights.astype("f8"))
    return loss, curvature, derivative


@pytest.fixture
def decisions():
    """Six rows, three classes."""
    return np.random.default_rng(0).normal(size=(6, 3))


def test_softmax_is_cross_entropy(decisions):
    """The loss is the weighted sum of -log p of the right classes."""
    expected = -(WEIGHTS * log_softmax(decisions, axis=1)[PLACES]).sum()
    assert of_block("softmax", decisions)[0] == pytest.approx(expected)


def test_squared_hinge_is_one_against_the_rest(decisions):
    """Each class has the loss of its own column, with 1 for its rows and -1 for all others."""
    signs = -np.ones((6, 3))
    signs[PLACES] = 1
    expected = WEIGHTS @ np.maximum(0, 1 - signs * decisions) ** 2
    assert of_block("squared_hinge", decisions)[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_derivative_is_that_of_the_loss(name, decisions):
    """The derivative agrees with differences of the loss, for each decision value."""
    for position in np.ndindex(6, 3):
        step = np.zeros((6, 3))
        step[position] = 1e-5
        difference = of_block(name, decisions + step)[0].sum() - of_block(name, decisions - step)[0].sum()
        assert of_block(name, decisions)[2][position] == pytest.approx(difference / 2e-5, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_curvature_is_that_of_the_loss(name, decisions):
    """The curvature agrees with differences of the derivative, where all decision values of a class move together."""
    for column in range(3):
        step = np.zeros((6, 3))
        step[:, column] = 1e-3
        change = of_block(name, decisions + step)[2] - of_block(name, decisions - step)[2]
        assert of_block(name, decisions)[1][column] == pytest.approx(change[:, column].sum() / 2e-3, abs=1e-3)


def test_near_certainty_keeps_its_digits():
    """A loss of e^-30, which float32 can't tell from one minus 1, is there with its derivative."""
    decisions = np.full((6, 3), -30, "f4")
    decisions[PLACES] = 0
    loss, _ = LOSSES["softmax"].of_block(decisions, PLACES, np.ones(6, "f4"))
    assert loss == pytest.approx(6 * 2 * np.exp(-30), rel=1e-5, abs=0)
    assert decisions[PLACES] == pytest.approx(np.full(6, -2 * np.exp(-30)), rel=1e-5, abs=0)


def test_hopeless_rows_give_numbers():
    """A right class that is 1,000 behind costs 1,000, without an overflow."""
    decisions = np.zeros((6, 3), "f4")
    decisions[PLACES] = -1000
    loss, _ = LOSSES["softmax"].of_block(decisions, PLACES, np.ones(6, "f4"))
    assert loss == pytest.approx(6 * (1000 + np.log(2)))


def test_some_classes_alone(decisions):
    """Squared hinge of some of the classes is that part of all."""
    part = decisions[:, 1:].copy()
    rows = np.flatnonzero(PLACES[1] > 0)
    loss, curvature = LOSSES["squared_hinge"].of_block(part, (rows, PLACES[1][rows] - 1), WEIGHTS)
    whole = of_block("squared_hinge", decisions)
    assert loss == pytest.approx(whole[0][1:])
    assert curvature == pytest.approx(whole[1][1:])
    assert part == pytest.approx(whole[2][:, 1:])

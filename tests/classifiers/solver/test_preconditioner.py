import numpy as np
import pytest

from frieze.classifiers.solver.losses import LOSSES
from frieze.classifiers.solver.preconditioner import LeadingAxes, PrincipalAxes
from frieze.classifiers.solver.row_blocks import mean_products

EVERY = slice(None)


@pytest.fixture
def products():
    """Mean products of 500 rows of four columns: of unlike spread, the last constant."""
    embeddings = np.random.default_rng(0).normal(size=(500, 4)) * [3, 1, 0.1, 0] + 1
    return mean_products([(embeddings.astype("f4"), np.zeros(500, int))], None)


@pytest.mark.parametrize("loss", LOSSES)
def test_there_and_back(products, loss):
    """Weights come back from their variables."""
    preconditioner = PrincipalAxes(products, LOSSES[loss]).preconditioner(np.array([2.0, 300.0]))
    weights = np.random.default_rng(1).normal(size=(2, 5)).astype("f4")
    assert preconditioner.weights(preconditioner.variables(weights), EVERY) == pytest.approx(weights, abs=2e-3)


@pytest.mark.parametrize("curvature", [1e-3, 1.0, 1e4])
def test_the_second_derivative_is_round(products, curvature):
    """By the variables, penalty and loss of that curvature have the identity for a second derivative."""
    preconditioner = PrincipalAxes(products, LOSSES["squared_hinge"]).preconditioner(np.array([curvature]))
    basis = np.vstack([preconditioner.weights(row[None], EVERY) for row in np.eye(5)]).astype(
        "f8"
    )  # weights of each variable
    assert basis @ (np.eye(5) + curvature * products) @ basis.T == pytest.approx(np.eye(5), abs=2e-3)


def test_a_free_intercept_has_a_scale(products):
    """Without a penalty on the intercept, its second derivative is that of the loss alone."""
    preconditioner = PrincipalAxes(products, LOSSES["softmax"]).preconditioner(np.array([10.0]))
    basis = np.vstack([preconditioner.weights(row[None], EVERY) for row in np.eye(5)]).astype("f8")
    expected = np.diag([1.0, 1, 1, 1, 0]) + 10 * products
    assert basis @ expected @ basis.T == pytest.approx(np.eye(5), abs=2e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_follow_the_variables(products, loss):
    """The derivative by the variables is that of a function of the weights, for the classes asked for."""
    preconditioner = PrincipalAxes(products, LOSSES[loss]).preconditioner(np.array([2.0, 300.0]))
    classes, by_weights = np.array([1]), np.random.default_rng(1).normal(size=(1, 5))
    step = np.random.default_rng(2).normal(size=(1, 5))
    expected = (by_weights * preconditioner.weights(step, classes)).sum()
    assert (preconditioner.gradients(by_weights, classes) * step).sum() == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def leading():
    """The leading axes of 500 rows of 30 columns, the first three of them long."""
    rows = np.random.default_rng(0).normal(size=(500, 30)) * np.array([9, 5, 3] + 27 * [0.1]) + 1
    return rows.astype("f4")


@pytest.mark.parametrize("loss", LOSSES)
def test_leading_axes_go_there_and_back(leading, loss):
    """Weights come back from the variables of the leading axes, and gradients follow them."""
    preconditioner = LeadingAxes(leading, np.ones(500, "f4"), LOSSES[loss]).preconditioner(np.array([2.0, 300.0]))
    weights = np.random.default_rng(1).normal(size=(2, 31)).astype("f4")
    assert preconditioner.weights(preconditioner.variables(weights), EVERY) == pytest.approx(weights, abs=5e-3)
    by_weights, step = np.random.default_rng(2).normal(size=(2, 1, 31))
    expected = (by_weights * preconditioner.weights(step, np.array([1]))).sum()
    assert (preconditioner.gradients(by_weights, np.array([1])) * step).sum() == pytest.approx(expected, rel=1e-3)


def test_the_leading_axes_make_it_round(leading, monkeypatch):
    """By their variables the second derivative has no long axis; what few axes leave is alike."""
    monkeypatch.setattr("frieze.classifiers.solver.preconditioner._N_LEADING", 5)
    preconditioner = LeadingAxes(leading, np.ones(500, "f4"), LOSSES["squared_hinge"]).preconditioner(np.array([100.0]))
    basis = np.vstack([preconditioner.weights(row[None], EVERY) for row in np.eye(31)]).astype("f8")
    products = mean_products([(leading, np.zeros(500, int))], None)
    curvatures = np.linalg.eigvalsh(basis @ (np.eye(31) + 100 * products) @ basis.T)
    assert (curvatures.min() > 0.5, curvatures.max() < 2) == (True, True)
    assert np.linalg.cond(np.eye(31) + 100 * products) > 1000

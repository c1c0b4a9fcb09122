import itertools
import warnings

import numpy as np
import pytest
from scipy.special import log_softmax

from frieze.classifiers.solver import linear as solver
from frieze.classifiers.solver.linear import PathOptions, Solution, fit_linear, fit_path

LOSSES = ("softmax", "squared_hinge")
"""Of one class a row; those of several are tested at the end."""
COSTS = [1e-3, 0.1, 1, 30, 1e4]


def draw(n_classes, *, n=300, dim=12, seed=0):
    """Draw n unit rows of classes that overlap, a class in n_classes + 3 of twice the rows; codes of every class."""
    generator = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(n_classes), generator.integers(0, n_classes + 3, n - n_classes) % n_classes])
    embeddings = generator.normal(size=(n_classes, dim))[codes] + 1.2 * generator.normal(size=(n, dim)) + 0.5
    return (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype("f4"), codes.astype(np.int64)


def judge(loss, embeddings, codes, *, cost, weights=None):
    """Fit scikit-learn's model to its end."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    models = {
        "softmax": LogisticRegression(C=cost, tol=1e-7, max_iter=10_000),
        "squared_hinge": LinearSVC(C=cost, dual=False, tol=1e-8, max_iter=10_000),
    }
    with warnings.catch_warnings():  # the last digits of so small a tolerance
        warnings.simplefilter("ignore", ConvergenceWarning)
        return models[loss].fit(embeddings.astype("f8"), codes, sample_weight=weights)


def objective(loss, model, rows, *, cost, weights=1):
    """Return scikit-learn's objective at its own solution, written out; of one column of hinges, both."""
    embeddings, codes = rows
    decisions = embeddings.astype("f8") @ model.coef_.T + model.intercept_
    if loss == "softmax":
        decisions = np.column_stack([0 * decisions, decisions]) if decisions.shape[1] == 1 else decisions
        losses = -log_softmax(decisions, axis=1)[np.arange(len(codes)), codes]
        return cost * (weights * losses).sum() + (model.coef_**2).sum() / 2
    signs = np.where(codes[:, None] == np.arange(codes.max() + 1), 1, -1)[:, -decisions.shape[1] :]
    losses = (np.maximum(0, 1 - signs * decisions) ** 2).sum(axis=1)
    whole = cost * (weights * losses).sum() + ((model.coef_**2).sum() + (model.intercept_**2).sum()) / 2
    return whole * (2 if decisions.shape[1] == 1 else 1)


def predict(solution, embeddings):
    """Return the class of the highest decision value."""
    return (embeddings @ solution.coef.T + solution.intercept).argmax(axis=1)


def assert_same(loss, rows, *, cost, weights=None):
    """Hold one fit against scikit-learn's: objective within 0.1 %, 99.5 % of the predictions."""
    embeddings, codes = rows
    actual = fit_linear([rows], loss, cost=cost, n_classes=codes.max() + 1, weights=weights)
    model = judge(loss, *rows, cost=cost, weights=weights)
    expected = objective(loss, model, rows, cost=cost, weights=1 if weights is None else weights)
    assert actual.converged
    assert actual.objective == pytest.approx(expected, rel=1e-3)
    assert np.mean(predict(actual, embeddings) == model.predict(embeddings)) >= 0.995


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("n_classes", [2, 3, 30])
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_with_scikit_learn(loss, n_classes, cost):
    """Objective and predictions are those of LogisticRegression and LinearSVC, from two classes to thirty."""
    assert_same(loss, draw(n_classes), cost=cost)


@pytest.mark.parametrize("cost", COSTS[:-1])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("loss", LOSSES)
def test_solved_in_the_space_of_the_rows(loss, n_classes, cost):
    """Of fewer rows than columns it is scikit-learn's head, with weights for every column."""
    weights = np.random.default_rng(1).integers(0, 5, 60).astype("f4")
    assert_same(loss, draw(n_classes, n=60, dim=400), cost=cost, weights=weights)


@pytest.mark.parametrize("cost", COSTS[:-1])
@pytest.mark.parametrize("loss", LOSSES)
def test_many_rows_and_many_columns(loss, cost, monkeypatch):
    """With the leading axes alone, where all are too many to decompose, it is scikit-learn's head."""
    monkeypatch.setattr("frieze.classifiers.solver.preconditioner.MOST_AXES", 10)
    monkeypatch.setattr("frieze.classifiers.solver.preconditioner._N_LEADING", 6)
    weights = np.random.default_rng(1).integers(0, 5, 300).astype("f4")
    assert_same(loss, draw(3, dim=40), cost=cost, weights=weights)


def test_nothing_large_is_decomposed(monkeypatch):
    """Of maps of 25,088 numbers no matrix of columns by columns is made, in memory or streamed."""
    embeddings, codes = draw(5, n=60, dim=25_088)
    sizes, real = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: sizes.append(len(matrix)) or real(matrix))
    halves = [(embeddings[:30], codes[:30]), (embeddings[30:], codes[30:])]
    whole, parts = (
        fit_linear(row_blocks, "softmax", cost=30, n_classes=5) for row_blocks in ([(embeddings, codes)], halves)
    )
    assert max(sizes) <= 61
    assert parts.objective == pytest.approx(whole.objective, rel=1e-4)
    assert whole.coef.shape == parts.coef.shape == (5, 25_088)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_are_scikit_learns(loss, n_classes):
    """Weights of rows mean what `sample_weight` means."""
    weights = np.random.default_rng(1).integers(0, 5, 300).astype("f4")
    assert_same(loss, draw(n_classes), cost=3.0, weights=weights)


def test_two_classes_have_mirrored_columns():
    """With two classes one column is the negative of the other, and softmax has scikit-learn's probabilities."""
    rows = draw(2)
    actual = fit_linear([rows], "softmax", cost=2.0, n_classes=2)
    decisions = rows[0] @ actual.coef.T + actual.intercept
    expected = judge("softmax", *rows, cost=2.0).decision_function(rows[0])
    assert np.allclose(actual.coef[0], -actual.coef[1], atol=1e-3)
    assert np.allclose(decisions[:, 1] - decisions[:, 0], expected, atol=0.02)


@pytest.mark.parametrize("loss", LOSSES)
def test_odd_columns_change_nothing_that_matters(loss):
    """Constant, repeated and empty columns leave the objective that of scikit-learn."""
    embeddings, codes = draw(3)
    odd = np.column_stack([embeddings, embeddings[:, :3], np.full(300, 0.5), np.zeros((300, 2))])
    assert_same(loss, (odd.astype("f4"), codes), cost=10.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_fewer_rows_than_columns(loss):
    """Where every row can be told apart, the solution is still the one of least weights."""
    assert_same(loss, draw(4, n=20, dim=64), cost=10.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_row_a_class(loss):
    """Thirty classes of one row each are told apart."""
    embeddings, codes = draw(30, n=30, dim=64)
    actual = fit_linear([(embeddings, codes)], loss, cost=100.0, n_classes=30)
    assert predict(actual, embeddings).tolist() == list(range(30))


@pytest.mark.parametrize("loss", LOSSES)
def test_unbalanced_classes(loss):
    """A class of three rows among three hundred is weighed as scikit-learn weighs it."""
    embeddings, codes = draw(3)
    rare = np.flatnonzero(codes == 2)[3:]
    assert_same(loss, (np.delete(embeddings, rare, axis=0), np.delete(codes, rare)), cost=10.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_row_blocks_are_like_one_block(loss):
    """How the rows are cut into blocks changes nothing but the last digits."""
    embeddings, codes = draw(5, n=3000)
    weights = np.linspace(0.5, 2, 3000, dtype="f4")
    cuts = [0, 1, 700, 700, 2900, 3000]
    row_blocks = [(embeddings[a:b], codes[a:b]) for a, b in itertools.pairwise(cuts)]
    whole = fit_linear([(embeddings, codes)], loss, cost=5.0, n_classes=5, weights=weights)
    actual = fit_linear(row_blocks, loss, cost=5.0, n_classes=5, weights=weights)
    assert actual.objective == pytest.approx(whole.objective, rel=1e-5)
    assert np.allclose(actual.coef, whole.coef, atol=0.01 * np.abs(whole.coef).max())


@pytest.mark.parametrize("loss", LOSSES)
def test_a_start_and_a_tolerance_change_the_steps_alone(loss):
    """From its own minimum a fit takes hardly a step; one that ends early takes few, and is within a percent of it."""
    rows = draw(5)

    def fit(**options):
        return next(fit_path([rows], loss, costs=[1e3], n_classes=5, options=PathOptions(**options)))

    whole = fit()
    from_minimum, rough = fit(start=whole), fit(tolerance=1e-3)
    assert from_minimum.n_iterations <= 2 < rough.n_iterations < whole.n_iterations
    assert from_minimum.objective == pytest.approx(whole.objective, rel=1e-5)
    assert whole.objective < rough.objective < 1.01 * whole.objective


def towards(prior, rows, *, cost):
    """Return cost * cross-entropy + half the squared distance from the prior, and its minimum by scipy in float64."""
    from scipy.optimize import minimize

    embeddings, codes = np.column_stack([rows[0].astype("f8"), np.ones(len(rows[0]))]), rows[1]
    share = cost * (0.5 if len(prior) == 2 else 1)
    hot = np.eye(len(prior))[codes]

    def function(flat):
        weights = flat.reshape(len(prior), -1)
        logs, offset = log_softmax(embeddings @ weights.T, axis=1), weights - prior
        gradient = share * (np.exp(logs) - hot).T @ embeddings + offset
        return -share * (hot * logs).sum() + (offset**2).sum() / 2, gradient.ravel()

    return lambda weights: function(weights.ravel())[0], minimize(function, prior.ravel(), jac=True).fun


@pytest.mark.parametrize("n", [8, 300])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("cost", [0.1, 30])
def test_pulled_to_a_prior(cost, n_classes, n):
    """With a prior its objective is scipy's least for the distance from it, of more rows than columns and of fewer."""
    rows = draw(n_classes, n=n)
    coef = 5 * np.random.default_rng(1).normal(size=(n_classes, 12)).astype("f4")
    coef -= coef.mean(axis=0)
    prior = Solution(coef, np.linspace(-1, 1, n_classes, dtype="f4"))
    solution = fit_linear([rows], "softmax", cost=cost, n_classes=n_classes, prior=prior)
    objective_of, least = towards(np.column_stack([coef, prior.intercept]), rows, cost=cost)
    actual = np.column_stack([solution.coef, solution.intercept]).astype("f8")
    assert objective_of(actual) <= 1.001 * least
    assert np.abs(actual[:, :-1] - coef).max() > 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_a_prior_is_kept_at_no_cost(loss):
    """Where the loss weighs nothing, the prior itself is the minimum."""
    rows = draw(5)
    prior = fit_linear([rows], loss, cost=20.0, n_classes=5)
    actual = fit_linear([rows], loss, cost=1e-9, n_classes=5, prior=prior)
    assert np.allclose(actual.coef, prior.coef, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_path_is_its_fits(loss):
    """Each solution of a path is that of a single fit at its cost."""
    rows = draw(5)
    for cost, actual in zip(COSTS, fit_path([rows], loss, costs=COSTS, n_classes=5), strict=True):
        alone = fit_linear([rows], loss, cost=cost, n_classes=5)
        assert actual.objective == pytest.approx(alone.objective, rel=1e-4)
        assert np.mean(predict(actual, rows[0]) == predict(alone, rows[0])) >= 0.99


@pytest.mark.parametrize("loss", LOSSES)
def test_a_path_saves_steps(loss):
    """Each cost of a path begins where the one before it ended."""
    rows, costs = draw(5), np.geomspace(1, 100, 8)
    alone = sum(fit_linear([rows], loss, cost=cost, n_classes=5).n_iterations for cost in costs)
    together = sum(actual.n_iterations for actual in fit_path([rows], loss, costs=costs, n_classes=5))
    assert together < 0.9 * alone


def test_a_path_is_lazy():
    """Only what is taken from a path is fitted."""
    passes = _Counted([draw(3)])
    next(fit_path(passes, "softmax", costs=[1, 1e4], n_classes=3))
    n_first = passes.n_passes
    fit_linear(passes, "softmax", cost=1, n_classes=3)
    assert passes.n_passes == 2 * n_first


class _Counted(list):
    """Pieces that count how often they are gone through."""

    n_passes = 0

    def __iter__(self):
        self.n_passes += 1
        return super().__iter__()


@pytest.mark.parametrize("cost", [1e-12, 1e12])
@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_costs_give_numbers(loss, cost):
    """Costs beyond all sense give finite weights."""
    actual = fit_linear([draw(3)], loss, cost=cost, n_classes=3)
    assert np.isfinite(actual.coef).all()
    assert np.isfinite([*actual.intercept, actual.objective]).all()


def test_a_fit_without_convergence_is_marked(monkeypatch):
    """A fit that the limits on its rounds and steps end has not converged."""
    monkeypatch.setattr("frieze.classifiers.solver.lbfgs._MAX_ITERATIONS", 2)
    monkeypatch.setattr("frieze.classifiers.solver.linear._MAX_ROUNDS", 3)
    actual = fit_linear([draw(5)], "softmax", cost=100.0, n_classes=5)
    assert (actual.converged, actual.n_iterations) == (False, 6)


@pytest.mark.parametrize("n_weights", [299, 301])
def test_weights_are_one_a_row(n_weights):
    """Too few weights and too many are refused."""
    with pytest.raises(ValueError, match=f"There are {n_weights} weights for 300 rows"):
        fit_linear([draw(3)], "softmax", cost=1.0, n_classes=3, weights=np.ones(n_weights, "f4"))


@pytest.mark.parametrize("row_blocks", [[], iter([draw(3)])], ids=["none", "generator"])
def test_no_rows_are_refused(row_blocks):
    """Nothing is fitted on no rows, nor on blocks that can be iterated only once."""
    with pytest.raises(ValueError, match="There are no rows"):
        fit_linear(row_blocks, "softmax", cost=1.0, n_classes=3)


def test_ended_classes_are_left_alone(monkeypatch):
    """With squared hinge, a class that has ended costs no more passes."""
    sizes, whole = [], solver._Problem._pass

    def count(self, weights, classes):
        sizes.append(len(classes))
        return whole(self, weights, classes)

    monkeypatch.setattr(solver._Problem, "_pass", count)
    fit_linear([draw(5)], "squared_hinge", cost=100.0, n_classes=5)
    assert (sizes[0], sizes[-1] < 5) == (5, True)


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_rows_of_several_classes(loss, n):
    """Each column of a matrix of classes is scikit-learn's model of that class against the rest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    embeddings, _ = draw(3, n=n, dim=80)
    generator = np.random.default_rng(1)
    has_class = embeddings @ generator.normal(size=(80, 5)) + 0.3 * generator.normal(size=(n, 5)) > 0.8
    actual = fit_linear([(embeddings, has_class)], loss, cost=10, n_classes=5)
    decisions = embeddings @ actual.coef.T + actual.intercept
    for column in range(5):
        models = {"logistic": LogisticRegression(C=10, tol=1e-7, max_iter=10_000), "squared_hinge": LinearSVC(C=10)}
        expected = models[loss].fit(embeddings, has_class[:, column]).decision_function(embeddings)
        assert decisions[:, column] == pytest.approx(expected, abs=0.02 * float(expected.std()))


def test_codes_and_their_matrix_are_the_same_classes():
    """Rows of one class are fitted alike by their codes and by a matrix of them."""
    embeddings, codes = draw(4)
    by_codes = fit_linear([(embeddings, codes)], "squared_hinge", cost=1, n_classes=4)
    by_matrix = fit_linear([(embeddings, np.eye(4, dtype=bool)[codes])], "squared_hinge", cost=1, n_classes=4)
    assert by_matrix.coef == pytest.approx(by_codes.coef)

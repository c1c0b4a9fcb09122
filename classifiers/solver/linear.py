"""Fits linear heads of all classes at once, in memory or in passes over pieces, for one cost or a row of them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from frieze.classifiers.solver.lbfgs import minimise
from frieze.classifiers.solver.losses import LOSSES, Loss, Places
from frieze.classifiers.solver.preconditioner import LeadingAxes, LeadingWhitening, Preconditioner, Whitening, find_axes
from frieze.classifiers.solver.row_blocks import Doubles, Pieces, blocks
from frieze.classifiers.solver.row_space import RowSpace
from frieze.core import Floats, Rows

_TWO = 2
_MAX_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Solution:
    """One fitted linear head.

    Attributes:
        coef: float32 [C, D]; margins are `embeddings @ coef.T + intercept`, the class is that of the highest.
        intercept: float32 [C].
        objective: The minimum, in scikit-learn's scale; of two classes by squared hinge, the sum of both columns.
        n_iterations: Steps of the slowest class.
        converged: Whether every class ended by itself, not by the limit on its steps.
    """

    coef: Floats
    intercept: Floats
    objective: float
    n_iterations: int
    converged: bool


def fit_linear(
    pieces: Pieces,
    loss: str,
    *,
    cost: float,
    n_classes: int,
    weights: Floats | None = None,
    start: Solution | None = None,
) -> Solution:
    """Fit one linear head, with the objective of scikit-learn's LogisticRegression or LinearSVC.

    Beside the data it takes a few [D, D], and about thirty [C, D] in float64.

    Args:
        pieces: The rows, gone through once a step; `[(embeddings, codes)]` for what is in memory.
        loss: `softmax` (the intercept is free) or `squared_hinge` (one class against the rest, the intercept penalised
            as a weight). Two classes have two columns, the second the negative of the first.
        cost: scikit-learn's C, > 0: the weight of the loss against half the squared weights.
        n_classes: C, >= 2.
        weights: float32 [N], >= 0, one a row.
        start: Where to begin; at zero where None.

    Returns:
        The head. Its objective is within 0.1 % of the minimum where it converged.

    Raises:
        KeyError: There is no such loss.
        ValueError: There are no rows, as from a generator gone through before, or more or fewer weights than rows.

    >>> codes = np.array([0, 1, 2])
    >>> fit_linear([(np.eye(3, dtype="f4"), codes)], "softmax", cost=1.0, n_classes=3).coef.argmax(0).tolist()
    [0, 1, 2]
    """
    return next(fit_path(pieces, loss, costs=[cost], n_classes=n_classes, weights=weights, start=start))


def fit_path(
    pieces: Pieces,
    loss: str,
    *,
    costs: Sequence[float],
    n_classes: int,
    weights: Floats | None = None,
    start: Solution | None = None,
) -> Iterator[Solution]:
    """Fit a head for each of some costs, each from the one before it; the arguments are those of `fit_linear`.

    Args:
        pieces: The rows.
        loss: `softmax` or `squared_hinge`.
        costs: Ascending, so that each begins near its end: `np.geomspace(1e-2, 1e2, 10)`.
        n_classes: C, >= 2.
        weights: float32 [N], >= 0.
        start: Where the first begins.

    Yields:
        One head a cost, in their order; the caller may stop early.
    """
    problem = _Problem(pieces, LOSSES[loss], n_classes, weights)
    if isinstance(pieces, list) and len(pieces) == 1:
        embeddings, codes = pieces[0]
        space = RowSpace.of_few(embeddings)
        if space is not None:
            yield from _in_row_space(space, problem.of([(space.coordinates, codes)]), costs, start)
            return
    yield from problem.path(costs, start)


def _in_row_space(
    space: RowSpace, problem: "_Problem", costs: Sequence[float], start: Solution | None
) -> Iterator[Solution]:
    """Fit on the coordinates of few long embeddings, and give heads of the embeddings themselves."""
    begun = start and dataclasses.replace(start, coef=space.along(start.coef))
    for solution in problem.path(costs, begun):
        yield dataclasses.replace(solution, coef=space.weights(solution.coef))


def _stacked(solution: Solution) -> Floats:
    return np.column_stack([solution.coef, solution.intercept])


class _Problem:
    """The rows and their loss, whatever the cost; `weights` of classes are [c, D + 1], the intercept last."""

    def __init__(self, pieces: Pieces, loss: Loss, n_classes: int, row_weights: Floats | None) -> None:
        self.loss = loss
        self._pieces, self._n_classes, self._row_weights = pieces, n_classes, row_weights

    def of(self, pieces: Pieces) -> "_Problem":
        """Give the same problem of other embeddings."""
        return _Problem(pieces, self.loss, self._n_classes, self._row_weights)

    def path(self, costs: Sequence[float], start: Solution | None) -> Iterator[Solution]:
        """Fit at each cost, from the head before."""
        axes = find_axes(self._pieces, self._row_weights, self.loss)
        at = _stacked(start) if start else np.zeros((self._n_classes, axes.width), np.float32)
        for cost in costs:
            solution = self.solve(cost, axes, at)
            at = _stacked(solution)
            yield solution

    def solve(self, cost: float, axes: Preconditioner | LeadingAxes, start: Floats) -> Solution:
        """Fit at one cost from weights float32 [C, D + 1]; where a round does not end, the next is whitened anew."""
        n_iterations, at = 0, start
        for _ in range(_MAX_ROUNDS):
            solution = self._round(cost, axes, at)
            n_iterations, at = n_iterations + solution.n_iterations, _stacked(solution)
            if solution.converged:
                break
        return dataclasses.replace(solution, n_iterations=n_iterations)

    def _round(self, cost: float, axes: Preconditioner | LeadingAxes, start: Floats) -> Solution:
        """Descend in the variables that are round at the start."""
        share = self.loss.two_class_share if self._n_classes == _TWO else 1
        _, _, curvature = self._pass(start, np.arange(self._n_classes))
        whitening = axes.round_out(cost * share * curvature)

        def function(points: Doubles, problems: Rows) -> tuple[Doubles, Doubles]:
            classes = np.arange(self._n_classes) if self.loss.is_joint else problems
            return self._evaluate(points, classes, cost * share, whitening)

        n_problems = 1 if self.loss.is_joint else self._n_classes
        found = minimise(function, whitening.variables(start).reshape(n_problems, -1))
        weights = whitening.weights(found.points.reshape(start.shape), slice(None))
        objective = float(found.values.sum()) / share
        return Solution(weights[:, :-1], weights[:, -1], objective, found.n_iterations, bool(found.converged.all()))

    def _evaluate(
        self, points: Doubles, classes: Rows, cost: float, whitening: Whitening | LeadingWhitening
    ) -> tuple[Doubles, Doubles]:
        """Give value and gradient of cost * loss + penalty, by whitened variables."""
        weights = whitening.weights(points.reshape(len(classes), -1), classes)
        loss, by_weights, _ = self._pass(weights, classes)
        penalised = weights.astype(np.float64)
        penalised[:, -1] *= self.loss.intercept_penalty
        penalty = np.einsum("cp,cp->c", penalised, weights) / 2
        gradients = whitening.gradients(cost * by_weights + penalised, classes)
        return cost * loss + penalty.reshape(len(points), -1).sum(axis=1), gradients.reshape(points.shape)

    def _pass(self, weights: Floats, classes: Rows) -> tuple[Doubles, Doubles, Doubles]:
        """Go through the rows once: loss, its derivative by the weights [c, D + 1], curvature [c]."""
        columns = np.full(self._n_classes, -1)
        columns[classes] = np.arange(len(classes))
        losses, curvature, derivative = np.zeros(1), np.zeros(1), np.zeros(weights.shape)
        for embeddings, codes, own in blocks(self._pieces, self._row_weights):
            margins = embeddings @ weights[:, :-1].T
            margins += weights[:, -1]
            of_block, bend = self.loss.of_block(margins, _places(columns[codes]), own)
            losses, curvature = losses + of_block, curvature + bend
            derivative[:, :-1] += margins.T @ embeddings
            derivative[:, -1] += margins.sum(axis=0)
        return losses, derivative, curvature


def _places(columns: Rows) -> Places:
    rows = np.flatnonzero(columns >= 0)
    return rows, columns[rows]

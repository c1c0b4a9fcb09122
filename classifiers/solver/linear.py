"""Fit linear heads of all classes at once, in memory or streamed, for one C or along a regularisation path."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from frieze.classifiers.data.embedding_rows import Codes
from frieze.classifiers.solver.lbfgs import TOLERANCE, minimise
from frieze.classifiers.solver.losses import LOSSES, Loss, Positions
from frieze.classifiers.solver.preconditioner import (
    LeadingAxes,
    LeadingPreconditioner,
    Preconditioner,
    PrincipalAxes,
    find_axes,
)
from frieze.classifiers.solver.row_blocks import Doubles, RowBlocks, map_blocks, small_blocks
from frieze.classifiers.solver.row_space import RowSpace
from frieze.core import Floats, Rows

_BINARY = 2
_MAX_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Solution:
    """One fitted linear head.

    Attributes:
        coef: float32 [C, D]; decision values are `embeddings @ coef.T + intercept`.
        intercept: float32 [C].
        objective: The minimum, in scikit-learn's scale; for two classes by squared hinge, the sum of both columns.
        n_iterations: Iterations of the slowest class.
        converged: Whether every class converged before the limit on iterations.
    """

    coef: Floats
    intercept: Floats
    objective: float = float("nan")
    n_iterations: int = 0
    converged: bool = False


@dataclasses.dataclass(frozen=True)
class PathOptions:
    """Where the fits of a path begin and end.

    Attributes:
        prior: Weights from which half the squared distance is penalised, that of intercepts too; zero where None. Of
            two classes, the second column is the negative of the first.
        start: Weights that the first fit begins at; those of the prior where None, or with fewer rows than columns.
        tolerance: A fit has converged when the predicted decrease of its next step is at most this share of its value.
    """

    prior: Solution | None = None
    start: Solution | None = None
    tolerance: float = TOLERANCE


_PLAIN = PathOptions()


def fit_linear(
    row_blocks: RowBlocks,
    loss: str,
    *,
    cost: float,
    n_classes: int,
    weights: Floats | None = None,
    prior: Solution | None = None,
) -> Solution:
    """Fit one linear head, with the objective of scikit-learn's LogisticRegression or LinearSVC.

    Beside the data it takes a few [D, D], and about thirty [C, D] in float64.

    Args:
        row_blocks: The rows, gone through once a step; `[(embeddings, codes)]` for what is in memory. But for
            `softmax`, rows of several classes have bool [n, C] in place of codes.
        loss: `softmax` (the intercept is free), `squared_hinge` (one class against the rest, the intercept penalised
            as a weight) or `logistic` (the same with a free intercept). Of codes, two classes have two columns, the
            second the negative of the first.
        cost: scikit-learn's C, > 0: the weight of the loss against half the squared weights.
        n_classes: C, >= 2.
        weights: float32 [N], >= 0, one a row.
        prior: See `PathOptions`.

    Returns:
        The head. Its objective is within 0.1 % of the minimum where it converged.

    Raises:
        KeyError: There is no such loss.
        ValueError: There are no rows, as from an exhausted generator, or more or fewer weights than rows.

    >>> codes = np.array([0, 1, 2])
    >>> fit_linear([(np.eye(3, dtype="f4"), codes)], "softmax", cost=1.0, n_classes=3).coef.argmax(0).tolist()
    [0, 1, 2]
    """
    options = PathOptions(prior)
    return next(fit_path(row_blocks, loss, costs=[cost], n_classes=n_classes, weights=weights, options=options))


def fit_path(
    row_blocks: RowBlocks,
    loss: str,
    *,
    costs: Sequence[float],
    n_classes: int,
    weights: Floats | None = None,
    options: PathOptions = _PLAIN,
) -> Iterator[Solution]:
    """Fit a head for each cost, each with a warm start from the one before; arguments as for `fit_linear`.

    Args:
        row_blocks: The rows.
        loss: `softmax`, `squared_hinge` or `logistic`.
        costs: In order, so that each starts near its solution: `np.geomspace(1e-2, 1e2, 10)`.
        n_classes: C, >= 2.
        weights: float32 [N], >= 0.
        options: Where the fits begin and end.

    Yields:
        One head a cost, in order; the caller may stop early.
    """
    # One row a class would move a free intercept far from its prior.
    penalised = LOSSES[loss] if options.prior is None else dataclasses.replace(LOSSES[loss], intercept_penalty=1)
    problem = _Problem(row_blocks, penalised, n_classes, weights)
    if isinstance(row_blocks, list) and len(row_blocks) == 1:
        embeddings, codes = row_blocks[0]
        space = RowSpace.if_fewer_rows_than_columns(embeddings)
        if space is not None:
            yield from _in_row_space(space, problem.of([(space.coordinates, codes)]), costs, options)
            return
    yield from problem.path(costs, options)


def _in_row_space(
    space: RowSpace, problem: "_Problem", costs: Sequence[float], options: PathOptions
) -> Iterator[Solution]:
    """Fit on the coordinates of few wide embeddings, and yield heads of the embeddings themselves.

    A head differs from the prior within the space of the rows alone, so that the rest of the prior stays as it is.
    """
    prior = options.prior
    projected = prior and dataclasses.replace(prior, coef=space.project(prior.coef))
    for solution in problem.path(costs, dataclasses.replace(options, prior=projected, start=None)):
        if prior is None or projected is None:
            coef = space.weights(solution.coef)
        else:
            coef = prior.coef + space.weights(solution.coef - projected.coef)
        yield dataclasses.replace(solution, coef=coef)


def _stacked(solution: Solution) -> Floats:
    return np.column_stack([solution.coef, solution.intercept])


class _Problem:
    """The rows and their loss for any cost; `weights` of classes are [c, D + 1], the intercept last."""

    def __init__(self, row_blocks: RowBlocks, loss: Loss, n_classes: int, row_weights: Floats | None) -> None:
        self.loss = loss
        self._row_blocks, self._n_classes, self._row_weights = row_blocks, n_classes, row_weights
        self._prior: Floats = np.zeros((n_classes, 1), np.float32)  # [C, D + 1], of `path`
        self._tolerance = TOLERANCE

    def of(self, row_blocks: RowBlocks) -> "_Problem":
        """Return the same problem for other embeddings."""
        return _Problem(row_blocks, self.loss, self._n_classes, self._row_weights)

    def path(self, costs: Sequence[float], options: PathOptions) -> Iterator[Solution]:
        """Fit at each cost, from the head before."""
        axes = find_axes(self._row_blocks, self._row_weights, self.loss)
        self._tolerance = options.tolerance
        nothing = np.zeros((self._n_classes, axes.width), np.float32)
        self._prior = nothing if options.prior is None else _stacked(options.prior)
        at = self._prior if options.start is None else _stacked(options.start)
        for cost in costs:
            solution = self._solve(cost, axes, at)
            at = _stacked(solution)
            yield solution

    def _solve(self, cost: float, axes: PrincipalAxes | LeadingAxes, start: Floats) -> Solution:
        """Fit at one cost from weights float32 [C, D + 1]; a round that does not converge gets a new preconditioner."""
        n_iterations, at = 0, start
        for _ in range(_MAX_ROUNDS):
            solution = self._round(cost, axes, at)
            n_iterations, at = n_iterations + solution.n_iterations, _stacked(solution)
            if solution.converged:
                break
        return dataclasses.replace(solution, n_iterations=n_iterations)

    def _round(self, cost: float, axes: PrincipalAxes | LeadingAxes, start: Floats) -> Solution:
        """Run L-BFGS in variables that are preconditioned at the start."""
        share = self.loss.two_class_share if self._n_classes == _BINARY else 1
        _, _, curvature = self._pass(start, np.arange(self._n_classes))
        preconditioner = axes.preconditioner(cost * share * curvature)

        def function(points: Doubles, problems: Rows) -> tuple[Doubles, Doubles]:
            classes = np.arange(self._n_classes) if self.loss.is_joint else problems
            return self._evaluate(points, classes, cost * share, preconditioner)

        n_problems = 1 if self.loss.is_joint else self._n_classes
        variables = preconditioner.variables(start).reshape(n_problems, -1)
        minimum = minimise(function, variables, tolerance=self._tolerance)
        weights = preconditioner.weights(minimum.points.reshape(start.shape), slice(None))
        objective = float(minimum.values.sum()) / share
        return Solution(weights[:, :-1], weights[:, -1], objective, minimum.n_iterations, bool(minimum.converged.all()))

    def _evaluate(
        self, points: Doubles, classes: Rows, cost: float, preconditioner: Preconditioner | LeadingPreconditioner
    ) -> tuple[Doubles, Doubles]:
        """Compute value and gradient of cost * loss + penalty in preconditioned variables."""
        weights = preconditioner.weights(points.reshape(len(classes), -1), classes)
        loss, by_weights, _ = self._pass(weights, classes)
        offset = (weights - self._prior[classes]).astype(np.float64)
        penalised = offset.copy()
        penalised[:, -1] *= self.loss.intercept_penalty
        penalty = np.einsum("cp,cp->c", penalised, offset) / 2
        gradients = preconditioner.gradients(cost * by_weights + penalised, classes)
        return cost * loss + penalty.reshape(len(points), -1).sum(axis=1), gradients.reshape(points.shape)

    def _pass(self, weights: Floats, classes: Rows) -> tuple[Doubles, Doubles, Doubles]:
        """Compute loss, its derivative by the weights [c, D + 1], and curvature [c] in one pass over the rows."""
        columns = np.full(self._n_classes, -1)
        columns[classes] = np.arange(len(classes))
        losses, curvature, derivative = np.zeros(1), np.zeros(1), np.zeros(weights.shape)

        def of_block(
            embeddings: Floats, codes: Codes, row_weights: Floats
        ) -> tuple[Doubles, Doubles, Doubles, Doubles]:
            decisions = embeddings @ weights[:, :-1].T
            decisions += weights[:, -1]
            block_loss, block_curvature = self.loss.of_block(
                decisions, _positions(codes, classes, columns), row_weights
            )
            return block_loss, block_curvature, decisions.T @ embeddings, decisions.sum(axis=0)

        for block_loss, block_curvature, by_coef, by_intercept in map_blocks(
            of_block, small_blocks(self._row_blocks, self._row_weights), result_bytes=weights.nbytes
        ):
            losses, curvature = losses + block_loss, curvature + block_curvature
            derivative[:, :-1] += by_coef
            derivative[:, -1] += by_intercept
        return losses, derivative, curvature


def _positions(codes: Codes, classes: Rows, columns: Rows) -> Positions:
    """Return where rows have some of the classes; `columns` [C] are the places of these classes, -1 for the others."""
    if codes.ndim > 1:
        rows, places = np.nonzero(codes[:, classes])
        return rows, places
    places = columns[codes]
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]

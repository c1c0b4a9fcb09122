"""L-BFGS for many independent smooth convex problems at once, in shared passes over the rows."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Rows

Function = Callable[[Doubles, Rows], tuple[Doubles, Doubles]]
"""Points [g, P] of some problems and the problems' numbers [g] -> their values [g] and gradients [g, P]."""
Flags = npt.NDArray[np.bool_]
_MAX_ITERATIONS = 100
TOLERANCE = 1e-6  # of the value; the real gap to the minimum was at most thirty times the estimate
_MEMORY = 10
_MAX_TRIALS = 10
_SUFFICIENT = 1e-4  # share of the predicted decrease (Armijo condition: Nocedal and Wright, equation 3.4)
_NOISE = 1e-6  # of the value: the rounding of float32 decision values


@dataclasses.dataclass
class Minimum:
    """The minima of the problems.

    Attributes:
        points: float64 [G, P].
        values: float64 [G].
        n_iterations: Iterations of the slowest problem.
        converged: bool [G]; False where the limit on iterations, or rounding, came first.
    """

    points: Doubles
    values: Doubles
    n_iterations: int
    converged: Flags


def minimise(function: Function, start: Doubles, *, tolerance: float = TOLERANCE) -> Minimum:
    """Minimise G problems; those that have ended are not evaluated any more.

    A problem has converged when the predicted decrease of its next step, half the Newton decrement squared, is at most
    a share of its value.

    Args:
        function: Values, >= 0, and gradients; scaled so that a second derivative of about 1 is usual.
        start: float64 [G, P].
        tolerance: That share, > 0.

    Returns:
        The minima; for a problem that has not converged, its lowest point.

    Source: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5.
    """
    problems = np.arange(len(start))
    minimum = Minimum(start, np.empty(0), 0, np.zeros(len(start), bool))
    minimum.values, gradients = function(start, problems)
    memory, live = _Memory(len(start)), problems
    while len(live):
        directions = -memory.times_inverse(gradients)
        slopes = _dot(gradients, directions)
        minimum.converged[live] = (-slopes / 2 <= tolerance * minimum.values)[live]
        live = live[~minimum.converged[live]]
        if not len(live) or minimum.n_iterations == _MAX_ITERATIONS:
            break
        old_points, old_gradients = minimum.points, gradients
        gradients, live = _step(function, minimum, (gradients, directions, slopes), live)
        memory.add(minimum.points - old_points, gradients - old_gradients)
        minimum.n_iterations += 1
    return minimum


def _step(
    function: Function, minimum: Minimum, descent: tuple[Doubles, Doubles, Doubles], live: Rows
) -> tuple[Doubles, Rows]:
    """Backtracking line search: move each live problem down along its direction.

    Args:
        function: The problems.
        minimum: Where they are; moved in place.
        descent: Gradients and directions [G, P], slopes [G].
        live: Numbers of the problems to move.

    Returns:
        gradients: At the new points.
        moved: Numbers of the problems that have a lower point.
    """
    gradients, directions, slopes = descent
    points, values, gradients = minimum.points.copy(), minimum.values.copy(), gradients.copy()
    lengths, waiting = np.ones(len(points)), live
    for _ in range(_MAX_TRIALS):
        step, slope = lengths[waiting], slopes[waiting]
        trial = minimum.points[waiting] + step[:, None] * directions[waiting]
        value, gradient = function(trial, waiting)
        expected = minimum.values[waiting] + _SUFFICIENT * step * slope
        is_lower = value <= expected + _NOISE * minimum.values[waiting]  # False for NaN
        done = waiting[is_lower]
        points[done], values[done], gradients[done] = trial[is_lower], value[is_lower], gradient[is_lower]
        excess = (value - minimum.values[waiting] - step * slope)[~is_lower]
        waiting, shorter = waiting[~is_lower], (-step * slope)[~is_lower]
        if not len(waiting):
            break
        lengths[waiting] *= np.clip(np.nan_to_num(shorter / (2 * excess)), 0.1, 0.5)  # the minimum of a parabola
    minimum.points, minimum.values = points, values
    return gradients, np.setdiff1d(live, waiting)


class _Memory:
    """The last steps and gradient changes, which approximate the inverse Hessian."""

    def __init__(self, n_problems: int) -> None:
        self._pairs: list[tuple[Doubles, Doubles, Doubles]] = []
        self._scale = np.ones(n_problems)

    def add(self, steps: Doubles, gradient_changes: Doubles) -> None:
        """Add a pair [G, P]; it has no effect for a problem that did not move, or only by rounding."""
        products, squares = _dot(steps, gradient_changes), _dot(gradient_changes, gradient_changes)
        has_curvature = products > np.finfo(np.float32).eps * np.sqrt(squares * _dot(steps, steps))
        inverse = np.divide(1, products, out=np.zeros_like(products), where=has_curvature)
        np.divide(products, squares, out=self._scale, where=has_curvature)
        self._pairs = [*self._pairs[-_MEMORY + 1 :], (steps, gradient_changes, inverse)]

    def times_inverse(self, vectors: Doubles) -> Doubles:
        """Multiply [G, P] by the approximate inverse Hessian (two-loop recursion)."""
        product, shares = vectors.copy(), []
        for steps, gradient_changes, inverse in reversed(self._pairs):
            shares.append(inverse * _dot(steps, product))
            product -= shares[-1][:, None] * gradient_changes
        product *= self._scale[:, None]
        for (steps, gradient_changes, inverse), share in zip(self._pairs, reversed(shares), strict=True):
            product += (share - inverse * _dot(gradient_changes, product))[:, None] * steps
        return product


def _dot(one: Doubles, other: Doubles) -> Doubles:
    product: Doubles = np.einsum("gp,gp->g", one, other)
    return product

"""L-BFGS for many independent smooth convex problems at once, each with its own steps."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from frieze.classifiers.solver.row_blocks import Doubles
from frieze.core import Rows

Function = Callable[[Doubles, Rows], tuple[Doubles, Doubles]]
"""Points [g, P] of some problems and the problems' numbers [g] -> their values [g] and gradients [g, P]."""
Facts = npt.NDArray[np.bool_]
_MAX_ITERATIONS = 100
_TOLERANCE = 1e-6  # of the value; what was really left to gain was at most thirty times the estimate
_MEMORY = 10
_MAX_TRIALS = 10
_SUFFICIENT = 1e-4  # share of the foretold decrease (Nocedal and Wright, equation 3.4)
_NOISE = 1e-6  # of the value: with float32 margins it trembles by nearly that much


@dataclasses.dataclass
class Minimum:
    """Where the problems ended.

    Attributes:
        points: float64 [G, P].
        values: float64 [G].
        n_iterations: Of the slowest problem.
        converged: bool [G]; False where the limit on the steps, or on the digits, came first.
    """

    points: Doubles
    values: Doubles
    n_iterations: int
    converged: Facts


def minimise(function: Function, start: Doubles) -> Minimum:
    """Minimise G problems; those that have ended are evaluated no more.

    A problem has converged when the decrease that its next step foretells, half the Newton decrement squared, is at
    most 1e-6 of its value.

    Args:
        function: Values, >= 0, and gradients; scaled so that a second derivative of about 1 is usual.
        start: float64 [G, P].

    Returns:
        The minimum; of each problem that has not converged, the lowest point that was found.

    Source: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5.
    """
    problems = np.arange(len(start))
    found = Minimum(start, np.empty(0), 0, np.zeros(len(start), bool))
    found.values, gradients = function(start, problems)
    memory, live = _Memory(len(start)), problems
    while len(live):
        directions = -memory.times_inverse(gradients)
        slopes = _dot(gradients, directions)
        found.converged[live] = (-slopes / 2 <= _TOLERANCE * found.values)[live]
        live = live[~found.converged[live]]
        if not len(live) or found.n_iterations == _MAX_ITERATIONS:
            break
        old_points, old_gradients = found.points, gradients
        gradients, live = _step(function, found, (gradients, directions, slopes), live)
        memory.add(found.points - old_points, gradients - old_gradients)
        found.n_iterations += 1
    return found


def _step(
    function: Function, found: Minimum, ahead: tuple[Doubles, Doubles, Doubles], live: Rows
) -> tuple[Doubles, Rows]:
    """Move each live problem down along its direction; shorter steps are tried for those alone that need them.

    Args:
        function: The problems.
        found: Where they are; moved.
        ahead: Gradients and directions [G, P], slopes [G].
        live: Numbers of the problems to move.

    Returns:
        gradients: At the new points.
        moved: Numbers of the problems that found a lower point.
    """
    gradients, directions, slopes = ahead
    points, values, gradients = found.points.copy(), found.values.copy(), gradients.copy()
    lengths, waiting = np.ones(len(points)), live
    for _ in range(_MAX_TRIALS):
        step, slope = lengths[waiting], slopes[waiting]
        trial = found.points[waiting] + step[:, None] * directions[waiting]
        value, gradient = function(trial, waiting)
        foretold = found.values[waiting] + _SUFFICIENT * step * slope
        is_lower = value <= foretold + _NOISE * found.values[waiting]  # False for NaN
        done = waiting[is_lower]
        points[done], values[done], gradients[done] = trial[is_lower], value[is_lower], gradient[is_lower]
        excess = (value - found.values[waiting] - step * slope)[~is_lower]
        waiting, shorter = waiting[~is_lower], (-step * slope)[~is_lower]
        if not len(waiting):
            break
        lengths[waiting] *= np.clip(np.nan_to_num(shorter / (2 * excess)), 0.1, 0.5)  # the lowest point of a parabola
    found.points, found.values = points, values
    return gradients, np.setdiff1d(live, waiting)


class _Memory:
    """The last steps and changes of the gradient, from which the inverse of the second derivative is guessed."""

    def __init__(self, n_problems: int) -> None:
        self._pairs: list[tuple[Doubles, Doubles, Doubles]] = []
        self._scale = np.ones(n_problems)

    def add(self, steps: Doubles, changes: Doubles) -> None:
        """Keep a pair [G, P]; for a problem that did not move, or only by noise, it means nothing."""
        products, squares = _dot(steps, changes), _dot(changes, changes)
        is_sound = products > np.finfo(np.float32).eps * np.sqrt(squares * _dot(steps, steps))
        inverse = np.divide(1, products, out=np.zeros_like(products), where=is_sound)
        np.divide(products, squares, out=self._scale, where=is_sound)
        self._pairs = [*self._pairs[-_MEMORY + 1 :], (steps, changes, inverse)]

    def times_inverse(self, vectors: Doubles) -> Doubles:
        """Multiply [G, P] by the guess (the two-loop recursion)."""
        found, shares = vectors.copy(), []
        for steps, changes, inverse in reversed(self._pairs):
            shares.append(inverse * _dot(steps, found))
            found -= shares[-1][:, None] * changes
        found *= self._scale[:, None]
        for (steps, changes, inverse), share in zip(self._pairs, reversed(shares), strict=True):
            found += (share - inverse * _dot(changes, found))[:, None] * steps
        return found


def _dot(one: Doubles, other: Doubles) -> Doubles:
    product: Doubles = np.einsum("gp,gp->g", one, other)
    return product

import numpy as np
import pytest

from frieze.classifiers.solver.lbfgs import minimise


def bowls(curvatures, lowest=1.0):
    """Return quadratic problems with these second derivatives [G, P], each lowest at 1, 1, ..."""

    def function(points, problems):
        away = points - 1
        return (curvatures[problems] * away**2).sum(1) / 2 + lowest, curvatures[problems] * away

    return function


def test_each_problem_finds_its_own_minimum():
    """Problems of very different scales all end at their lowest points."""
    curvatures = np.array([[1.0, 2.0, 0.5], [1e4, 1.0, 3.0], [1e-2, 1e-2, 2e-2]])
    minimum = minimise(bowls(curvatures), np.zeros((3, 3)))
    assert minimum.converged.all()
    assert (curvatures * (minimum.points - 1) ** 2 / 2 < 1e-5).all()


def test_problems_do_not_see_each_other():
    """A problem takes the steps that it takes alone."""
    curvatures = np.array([[1.0, 2.0, 0.5], [1e4, 1.0, 3.0]])
    both = minimise(bowls(curvatures), np.zeros((2, 3)))
    alone = [minimise(bowls(curvatures[[one]]), np.zeros((1, 3))).points[0] for one in range(2)]
    assert both.points == pytest.approx(np.array(alone), abs=1e-12)


def test_too_long_steps_are_shortened():
    """Where the first step leads up or out of all numbers, a shorter one is found."""

    def function(points, _):
        value = np.where(np.abs(points) < 3, np.cosh(np.clip(4 * points, -12, 12)), np.nan)
        return value[:, 0], 4 * np.sinh(np.clip(4 * points, -12, 12))

    minimum = minimise(function, np.array([[2.5]]))
    assert minimum.converged.all()
    assert minimum.values == pytest.approx([1], abs=1e-5)


def test_a_problem_without_a_way_down_ends():
    """Where the gradient promises what no step keeps, the problem stays where it is and has not converged."""
    minimum = minimise(lambda points, _: (1.0 + (points[:, 0] != 1), -np.ones_like(points)), np.array([[1.0]]))
    assert (minimum.converged.tolist(), minimum.points.tolist(), minimum.n_iterations) == ([False], [[1.0]], 1)


def test_only_live_problems_are_evaluated():
    """A problem that starts at its end is looked at once."""
    seen = []
    inner = bowls(np.array([[1.0, 50.0], [1.0, 50.0]]))

    def function(points, problems):
        seen.append(problems.tolist())
        return inner(points, problems)

    minimise(function, np.array([[1.0, 1.0], [9.0, 9.0]]))
    assert seen[0] == [0, 1]
    assert all(one == [1] for one in seen[1:])


def test_rounding_of_the_value_does_not_stop_a_problem():
    """A value that is 8e-7 too high at the lowest point, as rounding of float32 may make it, is accepted there."""

    def function(points, _):
        rounding = np.where(points[:, 0] == np.sqrt(3e-6), -8e-7, 8e-7)
        return 1 + points[:, 0] ** 2 / 2 + rounding, points

    minimum = minimise(function, np.array([[np.sqrt(3e-6)]]))
    assert (minimum.converged.tolist(), minimum.points.tolist(), minimum.n_iterations) == ([True], [[0.0]], 1)


def test_more_than_rounding_is_a_step_too_long():
    """A step that raises the value by 2e-5 of it is shortened: the minimum takes one iteration, not two."""

    def function(points, _):
        return 1 + 1.5 * points[:, 0] ** 2, 3 * points

    minimum = minimise(function, np.array([[2.1e-3]]))
    assert minimum.n_iterations == 1
    assert minimum.points == pytest.approx(np.zeros((1, 1)), abs=1e-6)

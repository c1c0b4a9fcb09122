"""Few long rows as short ones; the judge is the long rows themselves."""

import numpy as np
import pytest

from frieze.classifiers.solver.row_space import RowSpace, reduce_width
from frieze.core import unit_rows


def draw(n, dim, *, n_axes=None):
    """Draw n unit rows [n, dim] in a space of so many axes."""
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(n, dim)) if n_axes is None else rng.normal(size=(n, n_axes)) @ rng.normal(size=(n_axes, dim))
    )
    return unit_rows(rows).astype("f4")


@pytest.mark.parametrize(("n", "dim", "n_axes"), [(20, 300, None), (20, 300, 7), (40, 9000, None), (5, 20, 1)])
def test_products_stay(n, dim, n_axes):
    """Coordinates have the products of the rows, also where the rows span less than there are of them."""
    rows = draw(n, dim, n_axes=n_axes)
    space = RowSpace(rows)
    assert space.coordinates @ space.coordinates.T == pytest.approx(rows @ rows.T, abs=1e-6)
    assert space.coordinates.shape == (n, n_axes or n)


def test_weights_give_the_same_decisions():
    """Weights of the coordinates and their weights of the rows give the same decision values, and back."""
    rows, coordinates = draw(20, 300), np.random.default_rng(1).normal(size=(3, 20)).astype("f4")
    space = RowSpace(rows)
    weights = space.weights(coordinates)
    assert rows @ weights.T == pytest.approx(space.coordinates @ coordinates.T, abs=1e-5)
    assert space.project(weights) == pytest.approx(coordinates, abs=1e-5)
    assert np.linalg.norm(weights) == pytest.approx(np.linalg.norm(coordinates), rel=1e-5)


def test_rows_of_zeros():
    """Rows that are all zero have the coordinate zero."""
    space = RowSpace(np.zeros((3, 10), "f4"))
    assert space.coordinates == pytest.approx(np.zeros((3, 1)), abs=1e-9)
    assert space.weights(np.ones((2, 1), "f4")).tolist() == [[0] * 10] * 2


def test_short_rows_stay():
    """No shorter are rows that are no longer than there are of them."""
    rows = draw(30, 30)
    assert reduce_width(rows) is rows
    assert RowSpace.if_fewer_rows_than_columns(rows) is None
    assert reduce_width(rows[:29]).shape == (29, 29)


def test_many_long_rows(monkeypatch):
    """Where rows and columns are many, coordinates along the axes of some keep what these span."""
    monkeypatch.setattr("frieze.classifiers.solver.row_space.MOST_AXES", 30)
    monkeypatch.setattr("frieze.classifiers.solver.row_space._N_SAMPLED", 10)
    rows = draw(50, 40, n_axes=8)
    actual = reduce_width(rows)
    assert actual.shape == (50, 8)
    assert actual @ actual.T == pytest.approx(rows @ rows.T, abs=1e-5)

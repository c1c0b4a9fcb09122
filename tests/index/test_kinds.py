import math

import pytest

from features import METRICS
from index.kinds import KINDS, POINTS_PER_LIST, count_lists, write_recipe
from index.measures import MEASURES


@pytest.mark.parametrize("n_rows", [1, 38, 77, 78, 1_000, 24_000, 100_000, 10_000_000])
def test_lists_can_be_trained(n_rows):
    """There is at least one list, about 4 sqrt(N) at most, and each has the rows k-means wants."""
    n_lists = count_lists(n_rows)
    assert 1 <= n_lists <= max(1, 4 * math.sqrt(n_rows))
    assert n_lists == 1 or n_lists * POINTS_PER_LIST <= n_rows


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_are_faiss_recipes(kind):
    """FAISS understands the recipe of every kind, and the search parameters it names."""
    import faiss

    assert faiss.index_factory(8, write_recipe(kind, 5_000)).d == 8
    assert not KINDS[kind].knob or getattr(faiss, KINDS[kind].parameters)(**{KINDS[kind].knob: 3})


def test_a_measure_for_each_metric():
    """Every metric of the house has its terms in FAISS."""
    assert sorted(MEASURES) == sorted(METRICS)

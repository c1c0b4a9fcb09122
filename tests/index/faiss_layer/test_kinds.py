import math

import numpy as np
import pytest

from frieze.features import METRICS
from frieze.indexing.faiss_layer.kinds import (
    KINDS,
    POINTS_PER_LIST,
    count_bytes,
    count_components,
    count_lists,
    count_subquantizers,
    count_training_rows,
    write_recipe,
)
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS


@pytest.mark.parametrize("n_rows", [1, 38, 77, 78, 1_000, 24_000, 100_000, 10_000_000])
def test_lists_can_be_trained(n_rows):
    """There is at least one list, about 4 sqrt(N) at most, and each has the rows k-means wants."""
    n_lists = count_lists(n_rows)
    assert 1 <= n_lists <= max(1, 4 * math.sqrt(n_rows))
    assert n_lists == 1 or n_lists * POINTS_PER_LIST <= n_rows


@pytest.mark.parametrize("dim", [1, 7, 16, 100, 1001, 1024])
@pytest.mark.parametrize("kind", KINDS)
def test_recipes_are_faiss_recipes(kind, dim):
    """FAISS understands the recipe of every kind at any width."""
    import faiss

    assert faiss.index_factory(dim, write_recipe(kind, 5_000, dim)).d == dim


@pytest.mark.parametrize("dim", [1, 2, 7, 16, 100, 1001, 1024])
def test_codes_are_equally_long(dim):
    """A vector, whole or narrowed, is cut into parts of one length."""
    assert dim % count_subquantizers(dim) == 0
    assert count_components(dim) % count_subquantizers(count_components(dim)) == 0
    assert count_components(dim) <= dim


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_estimated(kind, clustered):
    """What an index is said to take is what FAISS writes of it, within a quarter."""
    import faiss

    from frieze.indexing.build.train_and_add import IndexTrainer
    from frieze.indexing.faiss_layer.vectors import InMemoryVectors

    vectors = InMemoryVectors(clustered(20_000, 64), metric="l2")
    faiss_index = IndexTrainer(vectors).train_and_add(kind)
    size = 20_000 * 64 * 4 if faiss_index is None else len(faiss.serialize_index(faiss_index))
    assert count_bytes(kind, 20_000, 64) == pytest.approx(size, rel=0.25)


def test_what_learns_is_trained_on_enough():
    """Lists want 39 rows each, codes 4,096 at the least, exact search none; never more than there are."""
    counts = [count_training_rows(kind, n_rows) for kind, n_rows in (("exact", 9_000), ("ivf", 90_000), ("pq", 9_000))]
    assert counts == [0, 39 * 1_200, 39 * 230]
    assert count_training_rows("hnsw", 90_000) == 4_096
    assert count_training_rows("pq", 50) == 50


@pytest.mark.parametrize("metric", METRICS)
def test_principal_components_serve_no_dot_products(metric):
    """Components taken from the mean on keep distances and the order of unit vectors, but no dot products."""
    assert [kind for kind in KINDS if not KINDS[kind].supports(metric)] == (["pca-pq"] if metric == "dot" else [])


def test_a_measure_for_each_metric():
    """Every metric of the house has its terms in FAISS."""
    assert sorted(FAISS_METRICS) == sorted(METRICS)
    assert np.isclose(FAISS_METRICS["l2"].to_scores(np.float32([4]))[0], -2)

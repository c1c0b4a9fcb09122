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
    """There is at least one list, about 4 sqrt(N) at most, and each has the rows that k-means requires."""
    n_lists = count_lists(n_rows)
    assert 1 <= n_lists <= max(1, 4 * math.sqrt(n_rows))
    assert n_lists == 1 or n_lists * POINTS_PER_LIST <= n_rows


@pytest.mark.parametrize("dim", [1, 7, 16, 100, 1001, 1024])
@pytest.mark.parametrize("kind", KINDS)
def test_recipes_are_faiss_recipes(kind, dim):
    """FAISS accepts the factory string of every kind at any width."""
    import faiss

    assert faiss.index_factory(dim, write_recipe(kind, 5_000, dim)).d == dim


@pytest.mark.parametrize("dim", [1, 2, 7, 16, 100, 1001, 1024])
def test_codes_are_equally_long(dim):
    """A vector, whole or reduced, is split into parts of equal length."""
    assert dim % count_subquantizers(dim) == 0
    assert count_components(dim) % count_subquantizers(count_components(dim)) == 0
    assert count_components(dim) <= dim


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_estimated(kind, clustered):
    """The estimated memory of an index is the size that FAISS writes, within a quarter."""
    import faiss

    from frieze.indexing.build.train_and_add import IndexTrainer
    from frieze.indexing.faiss_layer.vectors import InMemoryVectors

    vectors = InMemoryVectors(clustered(6_000, 64), metric="l2")
    faiss_index = IndexTrainer(vectors).train_and_add(kind)
    size = 6_000 * 64 * 4 if faiss_index is None else len(faiss.serialize_index(faiss_index))
    assert count_bytes(kind, 6_000, 64) == pytest.approx(size, rel=0.25)


def test_training_rows():
    """Lists are trained on 39 rows each, quantizers on 4,096, exact search on none; never more than there are."""
    counts = [count_training_rows(kind, n_rows) for kind, n_rows in (("exact", 9_000), ("ivf", 90_000), ("pq", 9_000))]
    assert counts == [0, 39 * 1_200, 39 * 230]
    assert count_training_rows("hnsw", 90_000) == 4_096
    assert count_training_rows("pq", 50) == 50


@pytest.mark.parametrize("metric", METRICS)
def test_principal_components_serve_no_dot_products(metric):
    """Principal components keep distances and the order of unit vectors, but no dot products."""
    assert [kind for kind in KINDS if not KINDS[kind].supports(metric)] == (["pca-pq"] if metric == "dot" else [])


def test_every_metric_has_faiss_terms():
    """Every metric of the features has its terms in FAISS."""
    assert sorted(FAISS_METRICS) == sorted(METRICS)
    assert np.isclose(FAISS_METRICS["l2"].to_scores(np.float32([4]))[0], -2)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_agree_with_faiss(kind):
    """The columns of the table describe the index that FAISS builds of the recipe."""
    import faiss

    index = faiss.index_factory(64, write_recipe(kind, 5_000, 64))
    lists = faiss.try_extract_index_ivf(index)
    lists = lists and faiss.downcast_index(lists)
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    assert KINDS[kind].has_lists == (lists is not None)
    assert KINDS[kind].is_graph == hasattr(inner, "hnsw")
    assert KINDS[kind].n_bits == getattr(lists, "nbits", 0)  # of a product quantizer with fast scan
    assert KINDS[kind].uses_pca == isinstance(index, faiss.IndexPreTransform)

"""The nearest other rows of each row, judged by NumPy."""

import numpy as np
import pytest

from frieze.features import METRICS
from frieze.indexing import find_neighbours, measure_graph_recall
from frieze.indexing import neighbours as module
from frieze.indexing.faiss_layer.vectors import draw_rows

SOME = [("exact", "cosine"), ("exact", "l2"), ("exact", "dot"), ("ivf", "cosine"), ("hnsw", "cosine")]


@pytest.fixture(scope="module")
def others(vectors):
    """`others(metric)`: the scores of all rows with all others, float32 [N, N]; -inf with itself."""

    def score(metric):
        scores = METRICS[metric](vectors, vectors)
        np.fill_diagonal(scores, -np.inf)
        return scores

    return score


@pytest.mark.parametrize("of_index", SOME)
def test_the_nearest_others(of_index, indexes, others, monkeypatch):
    """Each row has the scores of its k nearest others, block by block, never itself, whatever the kind and metric."""
    monkeypatch.setattr(module, "_BLOCK_EDGES", 6 * 700)
    steps, index, scores = [], indexes(*of_index), others(of_index[1])
    edges = list(find_neighbours(index, k=5, progress=lambda *step: steps.append(step)))
    rows, neighbours, actual = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    assert (len(edges), rows.tolist(), steps[-1]) == (3, list(range(2_000)), (2_000, 2_000))
    assert (neighbours != rows[:, None]).all()
    np.testing.assert_allclose(np.take_along_axis(scores, neighbours, axis=1), actual, atol=1e-4)
    expected = -np.sort(-scores, axis=1)[:, :5]
    right = (actual >= expected[:, -1:] - 1e-4).mean()
    assert right >= (1 if of_index[0] == "exact" else 0.95)


@pytest.mark.parametrize(("kind", "k"), [("ivf", 5), ("pq", 30)])
def test_the_recall_of_a_graph(kind, k, indexes, others):
    """The recall is the share of the nearest, by NumPy, that the graph has for the rows that were drawn."""
    index, rows = indexes(kind, "cosine"), draw_rows(2_000, 500)
    recall, n_rows = measure_graph_recall(index, k=k)
    scores, edges = others("cosine"), list(find_neighbours(index, k=k))
    actual = np.concatenate([one.neighbours for one in edges])[rows]
    expected = np.argsort(-scores[rows], axis=1, kind="stable")[:, :k]
    shares = [np.isin(one, other).mean() for one, other in zip(expected, actual, strict=True)]
    assert (n_rows, recall) == (500, pytest.approx(np.mean(shares), abs=2e-3))
    assert measure_graph_recall(indexes("exact", "cosine"), k=k) is None

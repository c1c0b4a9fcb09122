import numpy as np
import pytest

from frieze.features import METRICS, top_k
from frieze.indexing.faiss_layer import row_filter as allowed
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS
from frieze.indexing.faiss_layer.row_filter import RowFilter

ROWS = np.arange(3, 400, 7)


@pytest.fixture(scope="module")
def embeddings(clustered):
    """400 vectors of width 16."""
    return clustered(400)


def flat_of(embeddings, metric):
    """FAISS's flat index of them."""
    import faiss

    flat = faiss.IndexFlat(embeddings.shape[1], getattr(faiss, FAISS_METRICS[metric].faiss_name))
    flat.add(FAISS_METRICS[metric].prepare(embeddings))
    return flat


@pytest.mark.parametrize("n_queries", [0, 1, 60])
@pytest.mark.parametrize("metric", METRICS)
def test_agrees_with_numpy(metric, n_queries, embeddings, monkeypatch):
    """One query and many, whose rows are read a few at a time, find what NumPy finds among the passing rows."""
    monkeypatch.setattr(allowed, "_BLOCK_FLOATS", 10 * 16)
    queries = embeddings[:n_queries] + np.float32(0.01)
    numbers, rows = RowFilter(ROWS, 400).search(flat_of(embeddings, metric), FAISS_METRICS[metric].prepare(queries), 12)
    expected, scores = top_k(queries, embeddings[ROWS], k=12, metric=metric)
    np.testing.assert_array_equal(rows, ROWS[expected])
    np.testing.assert_allclose(FAISS_METRICS[metric].to_scores(numbers), scores, atol=1e-3)


@pytest.mark.parametrize("n_queries", [1, 60])
def test_a_score_beyond_float32_has_no_row(n_queries, embeddings):
    """Where a score leaves the range of float32, the row is -1."""
    huge = np.full((n_queries, 16), 3e38, np.float32)
    _, rows = RowFilter(ROWS, 400).search(flat_of(embeddings, "l2"), huge, 5)
    assert (rows == -1).all()


def test_selector_passes_its_rows(embeddings):
    """The selector passes exactly the filter's rows, also after the filter is deleted."""
    selector = RowFilter(ROWS, 400).selector
    assert [row for row in range(400) if selector.is_member(row)] == ROWS.tolist()
    assert not selector.is_member(400)


def test_share():
    """The share is the fraction of rows that pass."""
    assert (len(RowFilter(ROWS, 400)), RowFilter(ROWS, 400).share) == (57, 57 / 400)

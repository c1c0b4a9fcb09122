import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import InputError, MismatchError
from frieze.features import METRICS, top_k
from frieze.features import exact_search as exact

# Rows of length 0, 1 or 2 with small whole numbers: every score is exact in float32, so ties are true ties.
_ROW = st.sampled_from(
    [(0, 0, 0, 0), (1, 0, 0, 0), (0, -2, 0, 0), (0, 0, 1, 0), (1, 1, 1, 1), (1, -1, 1, -1), (-1, -1, -1, -1)]
)


def _dot(q, x):
    return sum(a * b for a, b in zip(q, x, strict=True))


def _cosine(q, x):
    lengths = math.sqrt(_dot(q, q) * _dot(x, x))
    return _dot(q, x) / lengths if lengths else 0.0


PLAIN = {"cosine": _cosine, "dot": _dot, "l2": lambda q, x: -math.dist(q, x)}


def _plain_top_k(queries, embeddings, *, k, metric):
    """The same by sorted() in plain Python; it keeps the order of rows that tie."""
    scores = [[PLAIN[metric](q, x) for x in embeddings] for q in queries]
    rows = [sorted(range(len(embeddings)), key=lambda row: -line[row])[:k] for line in scores]
    return rows, [[line[row] for row in best] for line, best in zip(scores, rows, strict=True)]


@pytest.mark.parametrize("metric", METRICS)
@given(st.lists(_ROW, max_size=5), st.lists(_ROW, min_size=1, max_size=24), st.data())
def test_agrees_with_sorted(metric, queries, embeddings, data):
    """Rows and scores are those of a plain sort, ties in ascending row order, for every k."""
    k = data.draw(st.integers(1, len(embeddings)))
    arrays = np.array(queries, np.float32).reshape(-1, 4), np.array(embeddings, np.float32)
    rows, scores = top_k(*arrays, k=k, metric=metric)
    expected_rows, expected_scores = _plain_top_k(queries, embeddings, k=k, metric=metric)
    assert rows.tolist() == expected_rows
    assert np.array_equal(scores, np.array(expected_scores, np.float32).reshape(-1, k))


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_do_not_matter(metric, monkeypatch):
    """However few scores are held at once, the result is the same."""
    rng = np.random.default_rng(0)
    queries, embeddings = (rng.integers(-4, 5, (n, 4)).astype(np.float32) for n in (7, 9))
    rows, scores = top_k(queries, embeddings, k=3, metric=metric)
    monkeypatch.setattr(exact, "_BLOCK_FLOATS", 20)
    in_blocks = top_k(queries, embeddings, k=3, metric=metric)
    assert np.array_equal(in_blocks[0], rows)
    assert np.allclose(in_blocks[1], scores)


def test_cosine_stays_in_range():
    """Rounding never takes a cosine out of [-1, 1]."""
    embeddings = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    _, scores = top_k(np.concatenate([embeddings, -embeddings]), embeddings, k=300)
    assert (scores.min(), scores.max()) == (-1, 1)


def test_l2_of_near_rows():
    """A small distance between long rows survives the rounding of large squares."""
    row = np.full((1, 4), 1000, np.float32)
    _, scores = top_k(row, row + np.float32([[0.125, 0, 0, 0]]), k=1, metric="l2")
    assert scores[0, 0] == pytest.approx(-0.125, rel=1e-3)


def test_no_queries():
    """No queries give no rows, in the right shapes and types."""
    rows, scores = top_k(np.empty((0, 2), np.float32), np.eye(2, dtype=np.float32), k=2)
    assert (rows.shape, rows.dtype, scores.shape, scores.dtype) == ((0, 2), np.int64, (0, 2), np.float32)


@pytest.mark.parametrize("k", [0, 3])
def test_k_out_of_range(k):
    """A k below 1 or above the rows is refused, and the range is told."""
    with pytest.raises(InputError, match=rf"k is {k}, but there are 2 rows(?s:.)*1 <= k <= 2"):
        top_k(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), k=k)


def test_unknown_metric():
    """An unknown metric is refused, and the known ones are told."""
    with pytest.raises(InputError, match=r"Unknown metric: l1(?s:.)*cosine, dot, l2"):
        top_k(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), k=1, metric="l1")


def test_other_width():
    """Queries of another width are refused, and both widths are told."""
    with pytest.raises(MismatchError, match="width 3, the embeddings 2"):
        top_k(np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32), k=1)

"""All rows of a minimum score, judged by NumPy."""

import numpy as np
import pytest

from frieze.core import InputError
from frieze.features import METRICS
from frieze.indexing.faiss_layer import range_search as module
from frieze.indexing.faiss_layer.range_search import range_search
from frieze.indexing.faiss_layer.row_filter import RowFilter

MIN_SCORE = {"cosine": 0.9, "l2": -1.0, "dot": 4.0}


@pytest.mark.parametrize("passing", [None, np.arange(0, 2_000, 3)])
@pytest.mark.parametrize("of_index", [("exact", "cosine"), ("exact", "l2"), ("exact", "dot"), ("pq", "cosine")])
def test_all_rows_that_numpy_finds(of_index, passing, indexes, vectors, queries, monkeypatch):
    """Each kind returns exactly the rows that NumPy finds in all scores, best first, filtered or not, in blocks."""
    monkeypatch.setattr(module, "count_block_rows", lambda _: 300)
    monkeypatch.setattr(module, "_BLOCK_FLOATS", 300 * 30)
    metric, row_filter = of_index[1], None if passing is None else RowFilter(passing, len(vectors))
    actual = range_search(indexes(*of_index).searcher, queries, MIN_SCORE[metric], row_filter=row_filter)
    scores = METRICS[metric](queries, vectors)
    n_hits = 0
    for (rows, of_query), expected in zip(actual, scores, strict=True):
        kept = np.flatnonzero(expected >= MIN_SCORE[metric])
        kept = kept if passing is None else np.intersect1d(kept, passing)
        differing = np.setxor1d(rows, kept)
        assert np.abs(expected[differing] - MIN_SCORE[metric]).max(initial=0) < 1e-5  # rounding alone
        np.testing.assert_allclose(of_query, expected[rows], atol=1e-4)
        assert (np.diff(of_query) <= 0).all()
        n_hits += len(rows)
    assert n_hits > 500


def test_a_row_itself_at_the_highest_score(indexes, vectors):
    """By the Euclidean distance a minimum of 0 finds each row itself and its duplicate, and no other."""
    actual = range_search(indexes("exact", "l2").searcher, vectors[:100], 0.0)
    expected = [[row, 1_500] if row == 30 else [row] for row in range(100)]
    assert [rows.tolist() for rows, _ in actual] == expected
    assert not any(scores.any() for _, scores in actual)


def test_too_many(indexes, queries, monkeypatch):
    """More hits than the limit are counted and refused, with what to type."""
    monkeypatch.setattr(module, "MOST_HITS", 1_000)
    with pytest.raises(InputError, match="200,000 hits have a score of -1 or more; a search returns 1,000") as caught:
        range_search(indexes("exact", "cosine").searcher, queries, -1.0)
    assert "`min_score`" in caught.value.hint

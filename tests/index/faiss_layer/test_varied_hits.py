"""At most so many hits of a value, and maximal marginal relevance; plain loops are the judge."""

import numpy as np
import pytest

from frieze.core import unit_rows
from frieze.features import METRICS
from frieze.indexing.faiss_layer.row_filter import RowFilter
from frieze.indexing.faiss_layer.varied_hits import HitOptions, Limit, choose_hits, diversify

N = 2_000
SOME = [("exact", "cosine"), ("exact", "l2"), ("ivf", "cosine"), ("hnsw", "cosine")]


@pytest.fixture(scope="module")
def codes():
    """Values of 2,000 rows: one that 1,900 rows have, and twenty rare ones."""
    drawn = np.random.default_rng(2).integers(1, 21, N)
    return np.where(np.arange(N) % 20 == 0, drawn, 0)


@pytest.fixture(scope="module")
def score_all(vectors, queries):
    """`score_all(metric)`: eight queries, and their scores with all rows."""
    return lambda metric: (queries[:8], METRICS[metric](queries[:8], vectors))


def plain_limit(scores, codes, most, k, passing):
    """Take rows by their score unless their value has enough."""
    taken, counts = [], {}
    for row in sorted(passing, key=lambda row: (-scores[row], row)):
        if counts.get(codes[row], 0) < most:
            taken.append(row)
            counts[codes[row]] = counts.get(codes[row], 0) + 1
    return taken[:k]


@pytest.mark.parametrize("of_index", SOME)
@pytest.mark.parametrize(("most", "passing"), [(1, None), (3, None), (1, np.arange(0, N, 4))])
def test_so_many_of_a_value(most, passing, of_index, codes, indexes, score_all):
    """As many as were asked for are found wherever so many exist, in the order of a plain loop over all scores."""
    row_filter, right = None if passing is None else RowFilter(passing, N), []
    some, scores = score_all(of_index[1])
    actual = choose_hits(indexes(*of_index).searcher, some, HitOptions(k=12, limit=Limit(codes, most)), row_filter)
    for (rows, _), of_query in zip(actual, scores, strict=True):
        expected = plain_limit(of_query, codes, most, 12, range(N) if passing is None else passing)
        assert (len(set(rows.tolist())), max(np.bincount(codes[rows]))) == (len(expected), most)
        right.append(np.isin(rows, expected).mean())
    assert np.mean(right) >= (0.99 if of_index[0] == "exact" else 0.9)


def test_values_with_enough_hits_are_not_searched_again(codes, indexes, queries, monkeypatch):
    """Where nearly all rows have one value, its rows are left out from the second search on."""
    searcher, searched = indexes("exact", "cosine").searcher, []
    search = searcher.search
    monkeypatch.setattr(
        searcher, "search", lambda *args, k, **options: searched.append(k) or search(*args, k=k, **options)
    )
    choose_hits(searcher, queries[:1], HitOptions(k=12, limit=Limit(codes, 1)))
    assert searched == [24, 48]


def test_all_of_a_score_by_value(codes, indexes, vectors, queries):
    """Of all rows of a minimum score each value keeps its best ones."""
    options = HitOptions(k=None, min_score=0.8, limit=Limit(codes, 2))
    ((rows, scores),) = choose_hits(indexes("exact", "cosine").searcher, queries[:1], options)
    expected = plain_limit(METRICS["cosine"](queries[:1], vectors)[0], codes, 2, N, range(N))
    assert rows.tolist() == expected[: len(rows)]
    assert (scores >= 0.8).all()
    assert METRICS["cosine"](queries[:1], vectors)[0][expected[len(rows)]] < 0.8


def plain_mmr(query, vectors, metric, k, relevance):
    """Carbonell & Goldstein's formula, row by row."""
    score = lambda one, other: float(METRICS[metric](one[None], other[None])[0, 0])  # noqa: E731
    chosen = []
    while len(chosen) < k:
        values = {
            row: relevance * score(query, vector)
            - (1 - relevance) * max((score(vector, vectors[one]) for one in chosen), default=0)
            for row, vector in enumerate(vectors)
            if row not in chosen
        }
        if not chosen:
            values = {row: score(query, vector) for row, vector in enumerate(vectors)}
        chosen.append(max(values, key=values.get))
    return chosen


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("relevance", [0.0, 0.5, 1.0])
def test_marginal_relevance(metric, relevance, indexes, vectors, queries):
    """The hits are those of the paper's formula over the same candidates; 1 keeps the order by score."""
    searcher = indexes("exact", metric).searcher
    rows, scores = (of_all[0] for of_all in searcher.search(queries[:1], k=40))
    order = diversify(searcher, rows, scores, k=6, relevance=relevance)
    assert order.tolist() == plain_mmr(queries[0], vectors[rows], metric, 6, relevance)
    assert (order.tolist() == list(range(6))) == (relevance == 1)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_the_query_itself_does_not_count_as_chosen(metric, indexes, vectors):
    """Of a stored image the first hit is itself; the others are those of the formula without it."""
    searcher = indexes("exact", metric).searcher
    rows, scores = (of_all[0] for of_all in searcher.search(vectors[:1], k=40))
    order = diversify(searcher, rows, scores, k=6, relevance=0.5)
    expected = plain_mmr(vectors[0], vectors[rows[1:]], metric, 5, 0.5)
    assert order.tolist() == [0, *(1 + at for at in expected)]


def test_diverse_hits_are_less_alike(indexes, vectors, queries):
    """The hits of a low lambda are less alike than the nearest ones, and the nearest is the first of both."""
    searcher = indexes("ivf", "cosine").searcher
    alike = {}
    for relevance in (None, 0.3):
        ((rows, _),) = choose_hits(searcher, queries[:1], HitOptions(k=8, relevance=relevance))
        cosines = unit_rows(vectors[rows]) @ unit_rows(vectors[rows]).T
        alike[relevance] = rows[0], cosines[np.triu_indices(8, 1)].mean()
    assert alike[None][0] == alike[0.3][0]
    assert alike[0.3][1] < alike[None][1] - 0.02

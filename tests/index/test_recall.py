from types import SimpleNamespace

import numpy as np
import pytest

from features import METRICS, top_k
from index.recall import make_probe, measure_ms, measure_rate, measure_recall
from index.vectors import HeldVectors


def fixed(rows, scores):
    """A searcher that gives these answers, one query after the other."""
    left = iter(range(len(rows)))

    def search(queries, k):
        asked = [next(left) for _ in queries]
        return rows[asked, :k], scores[asked, :k]

    return SimpleNamespace(search=search, fetch=lambda _, k: None)


def exact(probe, embeddings, metric="cosine"):
    """NumPy's k nearest rows outside the probe."""
    others = np.setdiff1d(np.arange(len(embeddings)), probe.rows)
    rows, scores = top_k(probe.queries, embeddings[others], k=probe.answers.shape[1], metric=metric)
    return others[rows], scores


@pytest.mark.parametrize("metric", METRICS)
def test_answers_are_numpys_without_the_probe(metric, vectors):
    """The exact answers, gathered batch by batch, are NumPy's over the table less the rows that are queries."""
    probe = make_probe(HeldVectors(vectors, metric=metric))
    scores = METRICS[metric](probe.queries, vectors)
    scores[:, probe.rows] = -np.inf
    assert not np.isin(probe.answers, probe.rows).any()
    np.testing.assert_allclose(probe.worst, np.sort(scores, axis=1)[:, -10], atol=1e-5)


def test_exact_answers_have_recall_one(vectors):
    """NumPy's own answers are right for every query."""
    probe = make_probe(HeldVectors(vectors, metric="cosine"))
    assert (measure_recall(fixed(*exact(probe, vectors)), probe) == 1).all()


def test_the_own_row_is_no_answer(vectors):
    """A searcher that finds only the query itself and nothing true has recall 0."""
    probe = make_probe(HeldVectors(vectors, metric="cosine"))
    rows, scores = exact(probe, -vectors)
    rows[:, 0], scores[:, 0] = probe.rows, 1.1
    scores[:, 1:] = -1
    assert measure_recall(fixed(rows, scores), probe).max() == 0


def test_half_of_the_answers_is_recall_one_half(vectors):
    """Five right answers of ten are a recall of 0.5."""
    probe = make_probe(HeldVectors(vectors, metric="l2"))
    rows, scores = exact(probe, vectors, "l2")
    rows[:, 5:], scores[:, 5:] = -1, -np.inf
    np.testing.assert_allclose(measure_recall(fixed(rows, scores), probe), 0.5)


def test_ties_are_right(clustered):
    """Among many duplicates any of them is a right answer."""
    embeddings = np.tile(clustered(2, 8), (60, 1))
    probe = make_probe(HeldVectors(embeddings, metric="cosine"))
    others = np.setdiff1d(np.arange(120), probe.rows)
    rows, scores = top_k(probe.queries, embeddings[others], k=20)
    assert (measure_recall(fixed(others[rows][:, 10:], scores[:, 10:]), probe) == 1).all()


@pytest.mark.parametrize(
    ("n_rows", "n_queries", "k"), [(1, 1, 0), (2, 1, 1), (10, 5, 5), (22, 11, 10), (2_000, 500, 10)]
)
def test_small_tables_ask_for_what_there_is(n_rows, n_queries, k, clustered):
    """At most half of a table asks, for all others where these are few; the only row of a table has recall 1."""
    embeddings = clustered(n_rows, 8)
    probe = make_probe(HeldVectors(embeddings, metric="dot"))
    assert probe.answers.shape == (n_queries, k)
    found = exact(probe, embeddings, "dot") if k else (np.empty((1, 0)), np.empty((1, 0)))
    assert (measure_recall(fixed(*found), probe) == 1).all()


def test_ms_is_the_median_of_single_queries(vectors, monkeypatch):
    """One hundred queries are timed alone and the median is told, in milliseconds."""
    clock = iter(np.cumsum([0.001, 0.002] * 90 + [0.001, 0.5] * 10).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    asked = []
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000),
        search=lambda query, k: asked.append((*query.shape, k)),
        fetch=lambda _, k: None,
    )
    assert measure_ms(searcher, make_probe(HeldVectors(vectors, metric="cosine"))) == pytest.approx(2)
    assert set(asked) == {(1, 16, 10)}


def test_slow_queries_are_not_all_timed(vectors, monkeypatch):
    """Timing ends after about two seconds."""
    clock = iter(np.arange(0.0, 200.0, 0.9).tolist())
    monkeypatch.setattr("index.recall._TIMED_MS", 2_000.0)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    asked = []
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000), search=lambda query, k: asked.append(k), fetch=lambda _, k: None
    )
    assert measure_ms(searcher, make_probe(HeldVectors(vectors, metric="cosine"))) == pytest.approx(900)
    assert len(asked) == 3


def test_rate_counts_all_queries(vectors, monkeypatch):
    """The rate is that of the probe's queries asked together, in the best of the rounds that a while has room for."""
    clock = iter([0.0, 0.0, 0.15, 0.15, 0.25, 0.3])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("index.recall._RATED_S", 0.25)
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000), search=lambda queries, k: None, fetch=lambda _, k: None
    )
    assert measure_rate(searcher, make_probe(HeldVectors(vectors, metric="cosine"))) == pytest.approx(500 / 0.1)

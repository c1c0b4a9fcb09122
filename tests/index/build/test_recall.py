from types import SimpleNamespace

import numpy as np
import pytest

from frieze.features import METRICS, top_k
from frieze.indexing.build.recall import (
    compute_ground_truth,
    ground_truth_at_100,
    interval,
    measure_ms,
    measure_rate,
    measure_recall,
)
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS
from frieze.indexing.faiss_layer.vectors import InMemoryVectors


def fixed(rows, scores):
    """Return a searcher that gives these answers, one query after the other."""
    left = iter(range(len(rows)))

    def search(queries, k):
        numbers = [next(left) for _ in queries]
        return rows[numbers, :k], scores[numbers, :k]

    return SimpleNamespace(search=search, fetch=lambda _, k: None)


def exact(ground_truth, embeddings, metric="cosine"):
    """Compute NumPy's k nearest rows without each query's own, which comes first."""
    scores = METRICS[metric](ground_truth.queries, embeddings)
    scores[np.arange(len(ground_truth.rows)), ground_truth.rows] = np.inf  # so that its own row is first
    rows = np.argsort(-scores, axis=1, kind="stable")[:, : ground_truth.k + 1]
    return rows, np.take_along_axis(scores, rows, axis=1)


@pytest.mark.parametrize("metric", METRICS)
def test_answers_are_numpys_without_the_own_row(metric, vectors):
    """The exact answers, merged block by block, are NumPy's over the whole table without the query's own row."""
    ground_truth = compute_ground_truth(InMemoryVectors(vectors, metric=metric))
    scores = METRICS[metric](ground_truth.queries, vectors)
    scores[np.arange(len(ground_truth.rows)), ground_truth.rows] = -np.inf
    assert not (ground_truth.neighbours == ground_truth.rows[:, None]).any()
    assert np.isin(ground_truth.neighbours, ground_truth.rows).any()  # other queries' rows are neighbours as any
    np.testing.assert_allclose(ground_truth.worst, np.sort(scores, axis=1)[:, -10], atol=1e-5)


def test_exact_answers_have_recall_one(vectors):
    """NumPy's own answers are right for every query."""
    ground_truth = compute_ground_truth(InMemoryVectors(vectors, metric="cosine"))
    assert (measure_recall(fixed(*exact(ground_truth, vectors)), ground_truth) == 1).all()


def test_the_own_row_is_no_answer(vectors):
    """A searcher that finds only the query itself has recall 0."""
    ground_truth = compute_ground_truth(InMemoryVectors(vectors, metric="cosine"))
    rows, scores = exact(ground_truth, -vectors)
    rows[:, 0], scores[:, 0] = ground_truth.rows, 1.1
    scores[:, 1:] = -1
    assert measure_recall(fixed(rows, scores), ground_truth).max() == 0


def test_recall_is_at_most_one(vectors):
    """A searcher that finds k + 1 right rows and not the query's own has recall 1, not more."""
    ground_truth = compute_ground_truth(InMemoryVectors(vectors, metric="l2"), k=9)
    wider = compute_ground_truth(InMemoryVectors(vectors, metric="l2"))
    rows, scores = exact(wider, vectors, "l2")
    assert (measure_recall(fixed(rows[:, 1:], scores[:, 1:]), ground_truth) == 1).all()


def test_half_of_the_answers_is_recall_one_half(vectors):
    """Five right answers of ten are a recall of 0.5."""
    ground_truth = compute_ground_truth(InMemoryVectors(vectors, metric="l2"))
    rows, scores = exact(ground_truth, vectors, "l2")
    rows[:, 6:], scores[:, 6:] = -1, -np.inf
    np.testing.assert_allclose(measure_recall(fixed(rows, scores), ground_truth), 0.5)


def test_ties_are_right(clustered):
    """Among many duplicates any of them is a right answer."""
    embeddings = np.tile(clustered(2, 8), (60, 1))
    ground_truth = compute_ground_truth(InMemoryVectors(embeddings, metric="cosine"))
    rows, scores = top_k(ground_truth.queries, embeddings, k=30)
    assert (measure_recall(fixed(rows[:, 19:], scores[:, 19:]), ground_truth) == 1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_ties_do_not_depend_on_the_scale(metric, scale, clustered):
    """Wrong rows are wrong, and right ones right with another rounding of the score, at any length of vectors."""
    embeddings = FAISS_METRICS[metric].prepare((clustered(200, 8) * scale).astype(np.float32))
    ground_truth = compute_ground_truth(InMemoryVectors(embeddings, metric=metric))
    rows, scores = exact(ground_truth, embeddings, metric)
    others = np.full_like(rows, -2)  # equal rows under other numbers: found in the place of the answers
    rounded = scores * np.float32(1 + 2e-7)
    assert (measure_recall(fixed(others, np.repeat(rounded[:, -1:], 11, axis=1)), ground_truth) == 1).all()
    furthest = np.sort(METRICS[metric](ground_truth.queries, embeddings), axis=1)[:, :11]
    assert measure_recall(fixed(others, furthest), ground_truth).max() == 0


def test_equal_queries_count_once(clustered):
    """Only one of many equal rows is a query, and with cosine no zero vector: any answer to these is right."""
    embeddings = clustered(1_000, 8)
    embeddings[:600], embeddings[600:800] = embeddings[0], 0
    queries = compute_ground_truth(InMemoryVectors(embeddings, metric="cosine")).queries
    assert len(queries) == len(np.unique(queries, axis=0)) > 20
    assert queries.any(axis=1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_table_of_zeros(metric):
    """Where all rows are zeros one of them is the query, and every answer is right."""
    zeros = np.zeros((50, 8), np.float32)
    ground_truth = compute_ground_truth(InMemoryVectors(zeros, metric=metric))
    assert len(ground_truth.rows) == 1
    assert (measure_recall(fixed(*exact(ground_truth, zeros, metric)), ground_truth) == 1).all()


@pytest.mark.parametrize(
    ("n_rows", "n_queries", "k"), [(1, 1, 0), (2, 1, 1), (10, 2, 9), (22, 4, 10), (2_000, 400, 10), (3_000, 500, 10)]
)
def test_small_tables(n_rows, n_queries, k, clustered):
    """At most a fifth of a table are queries, for all other rows where these are few; a single row has recall 1."""
    embeddings = clustered(n_rows, 8)
    ground_truth = compute_ground_truth(InMemoryVectors(embeddings, metric="dot"))
    assert ground_truth.neighbours.shape == (n_queries, k)
    actual = exact(ground_truth, embeddings, "dot") if k else (np.empty((1, 0)), np.empty((1, 0)))
    assert (measure_recall(fixed(*actual), ground_truth) == 1).all()


def test_fewer_queries_for_100_hits(vectors):
    """For a hundred hits up to a hundred of the same rows are queries."""
    held = InMemoryVectors(vectors, metric="cosine")
    ground_truth = compute_ground_truth(held)
    many = ground_truth_at_100(held, ground_truth)
    assert many.neighbours.shape == (100, 100)
    assert set(many.rows) <= set(ground_truth.rows)


@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_interval_covers_the_true_mean(spread):
    """In 95 of 100 draws the interval of 200 queries contains the mean over all; a tenth of its width would not."""
    rng = np.random.default_rng(0)
    everyone = np.clip(rng.normal(0.9, spread, 100_000), 0, 1).astype(np.float32)
    intervals = np.array([interval(rng.choice(everyone, 200)) for _ in range(500)])
    held = (intervals[:, 0] <= everyone.mean()) & (everyone.mean() <= intervals[:, 1])
    assert 0.92 <= held.mean() <= 0.98


def test_ms_is_the_median_of_single_queries(vectors, monkeypatch):
    """One hundred queries are timed one by one, and the median is returned in milliseconds."""
    clock = iter(np.cumsum([0.001, 0.002] * 90 + [0.001, 0.5] * 10).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls = []
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000),
        search=lambda query, k: calls.append((*query.shape, k)),
        fetch=lambda _, k: None,
    )
    assert measure_ms(searcher, compute_ground_truth(InMemoryVectors(vectors, metric="cosine"))) == pytest.approx(2)
    assert set(calls) == {(1, 16, 10)}


def test_slow_queries_are_not_all_timed(vectors, monkeypatch):
    """Timing ends after about two seconds."""
    clock = iter(np.arange(0.0, 200.0, 0.9).tolist())
    monkeypatch.setattr("frieze.indexing.build.recall._TIMED_MS", 2_000.0)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls = []
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000), search=lambda query, k: calls.append(k), fetch=lambda _, k: None
    )
    assert measure_ms(searcher, compute_ground_truth(InMemoryVectors(vectors, metric="cosine"))) == pytest.approx(900)
    assert len(calls) == 3


def test_rate_counts_all_queries(vectors, monkeypatch):
    """The rate is that of all queries in one batch, in the best round."""
    clock = iter([0.0, 0.0, 0.15, 0.15, 0.25, 0.3])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("frieze.indexing.build.recall._RATED_S", 0.25)
    searcher = SimpleNamespace(
        flat=SimpleNamespace(ntotal=2_000), search=lambda queries, k: None, fetch=lambda _, k: None
    )
    assert measure_rate(searcher, compute_ground_truth(InMemoryVectors(vectors, metric="cosine"))) == pytest.approx(
        400 / 0.1
    )

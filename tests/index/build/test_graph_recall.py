"""Recall of a graph: rows are linked to rows, so it is measured before the queries' rows are in it."""

import dataclasses
import json
import shutil

import faiss
import numpy as np
import pytest

from frieze.features import top_k
from frieze.indexing import build_index, open_index
from frieze.indexing.build import choose_kind
from frieze.indexing.build.build_request import BuildRequest
from frieze.indexing.build.choose_kind import Speed, choose
from frieze.indexing.build.recall import compute_ground_truth, ground_truth_at_100, hold_out, measure_recall
from frieze.indexing.build.train_and_add import IndexTrainer
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.vectors import InMemoryVectors
from frieze.indexing.storage.generations import write_document


def gaussian(n_rows, dim, *, seed=0):
    """Return random unit vectors without structure, which are hard for graphs."""
    drawn = np.random.default_rng(seed).normal(size=(n_rows, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def recall_of_new(searcher, queries, embeddings, k):
    """Measure the recall of queries that are not in the table."""
    _, exact = top_k(queries, embeddings, k=k)
    _, actual = searcher.search(queries, k=k)
    return (actual >= exact[:, -1:] - 1e-6).mean()


def assert_unbiased(n_rows, dim, target, seed, n_times=1):
    """Compare the reported recall of a graph, whose rows exist several times, with that of 1,000 new queries."""
    drawn = gaussian(n_rows + 1_000, dim, seed=seed)
    queries, rows = drawn[n_rows:], np.tile(drawn[:n_rows], (n_times, 1))
    held = InMemoryVectors(rows, metric="cosine")
    choice = choose(BuildRequest(held, compute_ground_truth(held), target), "hnsw")
    low, high = choice.tuned.interval
    recall = recall_of_new(choice.searcher, queries, rows, 10)
    assert choice.tuned.meets_target
    assert low - 0.01 <= recall <= high + 0.01  # the interval of 1,000 queries
    assert recall >= target - 0.01
    assert recall_of_new(choice.searcher, queries, rows, 100) >= target - 0.01


@pytest.fixture(scope="module")
def held():
    """1,000 vectors of width 32."""
    return InMemoryVectors(gaussian(1_000, 32), metric="cosine")


@pytest.fixture
def graph(held):
    """A graph of these without its ground-truth rows, and its ground truth."""
    ground_truth = hold_out(held, compute_ground_truth(held))
    faiss_index = IndexTrainer(held, unseen=ground_truth.rows).train_and_add("hnsw", left_out=ground_truth.left_out)
    return Searcher.over(held, faiss_index, kind="hnsw", left_out=ground_truth.left_out), ground_truth


def test_recall_is_that_of_new_queries():
    """The reported recall of a small graph is that of queries outside the table."""
    assert_unbiased(1_600, 64, 0.9, 3)


def test_equal_rows_do_not_raise_recall():
    """Where each row exists twice, the reported recall is still that of queries outside the table."""
    assert_unbiased(800, 64, 0.9, 3, n_times=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_rows", "dim", "target", "seed"), [(2_500, 64, 0.95, 1), (3_000, 32, 0.95, 3), (12_000, 64, 0.9, 5)]
)
def test_recall_is_that_of_new_queries_of_any_size(n_rows, dim, target, seed):
    """The same for more rows and other shapes."""
    assert_unbiased(n_rows, dim, target, seed)


@pytest.mark.parametrize(("n_rows", "n_queries"), [(49, 9), (300, 30), (1_000, 50), (2_500, 125), (12_000, 500)])
def test_nearly_the_whole_graph_is_measured(n_rows, n_queries):
    """A twentieth of the rows are queries and left out; in a small table some dozens."""
    few = InMemoryVectors(gaussian(n_rows, 4), metric="l2")
    ground_truth = hold_out(few, compute_ground_truth(few))
    assert len(ground_truth.rows) == n_queries
    np.testing.assert_array_equal(ground_truth.left_out, ground_truth.rows)


def test_rows_equal_to_a_query_are_left_out():
    """Rows equal to a query are left out with it, at most a tenth of all; queries with the fewest equals are kept."""
    rows = gaussian(1_000, 8)
    rows[300:600], rows[600:] = rows[:300], rows[0]
    table = InMemoryVectors(rows, metric="l2")
    ground_truth = hold_out(table, compute_ground_truth(table))
    is_equal = (rows[:, None] == ground_truth.queries).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_equal), ground_truth.left_out)
    assert 20 < len(ground_truth.rows) < len(ground_truth.left_out) <= 100


def test_a_graph_of_equal_rows_is_measured_whole():
    """Where nearly all rows are equal the graph is measured whole: any answer is right."""
    table = InMemoryVectors(np.tile(gaussian(1, 8), (200, 1)), metric="cosine")
    ground_truth = compute_ground_truth(table)
    assert hold_out(table, ground_truth) is ground_truth


def test_a_small_graph_is_measured_whole():
    """A graph so small that it always scores all rows is measured whole."""
    few = InMemoryVectors(gaussian(48, 4), metric="l2")
    ground_truth = compute_ground_truth(few)
    assert hold_out(few, ground_truth) is ground_truth
    assert not len(ground_truth.left_out)


@pytest.mark.parametrize("k", [10, 100])
def test_answers_are_rows_of_the_graph(k, held):
    """The exact answers are NumPy's among the rows of the graph, for ten and for a hundred."""
    ground_truth = hold_out(held, compute_ground_truth(held))
    ground_truth = ground_truth if k == 10 else ground_truth_at_100(held, ground_truth)
    others = np.setdiff1d(np.arange(1_000), ground_truth.left_out)
    exact, scores = top_k(held.take(ground_truth.rows), held.take(others), k=k)
    np.testing.assert_array_equal(ground_truth.neighbours, others[exact])
    np.testing.assert_allclose(ground_truth.worst, scores[:, -1], atol=1e-6)


def test_full_search_has_recall_one(graph):
    """A graph that scores all of its rows finds all answers: none of them is left out of it."""
    searcher, ground_truth = graph
    searcher.search_params = SearchParams(2_000, 32)
    assert measure_recall(searcher, ground_truth).mean() == 1


def test_left_out_rows_are_never_found(graph):
    """Rows that are left out are never found, also where the graph returns too few and all rows are searched."""
    searcher, ground_truth = graph
    actual, _ = searcher.search(ground_truth.queries, k=940)
    assert not np.isin(actual, ground_truth.left_out).any()


def test_left_out_rows_are_added(graph):
    """Added rows find themselves first, and search parameters apply unscaled."""
    searcher, ground_truth = graph
    assert searcher.share == 0.95
    searcher.add(ground_truth.rows, ground_truth.queries)
    searcher.search_params = SearchParams(200, 2)
    actual, _ = searcher.search(ground_truth.queries, k=1)
    assert (actual[:, 0] == ground_truth.rows).mean() > 0.95
    assert (searcher.share, searcher.faiss_index.ntotal) == (1.0, 1_000)


def test_every_row_is_stored_once(tmp_path, write_table):
    """A stored graph has each row once, after a build and after a refresh."""
    for n_rows in (700, 800):
        shutil.rmtree(tmp_path / "t.features", ignore_errors=True)
        table = write_table(tmp_path / "t.features", gaussian(n_rows, 8))
        document = build_index(table, tmp_path / "i", kind="hnsw")
        folder = tmp_path / "i" / open_index(tmp_path / "i").document["generation"]
        faiss_index = faiss.read_index(str(folder / "index.faiss"))
        np.testing.assert_array_equal(np.sort(faiss.vector_to_array(faiss_index.id_map)), np.arange(n_rows))
    assert "refreshed without retraining" in document["why"]


@pytest.mark.parametrize(("kind", "n_queries"), [("hnsw", 30), ("ivf", 60), ("exact", None)])
def test_an_older_graph_is_rebuilt(kind, n_queries, tmp_path, write_table):
    """A graph from before `recall_queries` was stored still opens and is rebuilt; no other kind is."""
    table = write_table(tmp_path / "t", gaussian(300, 8))
    assert build_index(table, tmp_path / "i", kind=kind)["recall_queries"] == n_queries
    document = json.loads((tmp_path / "i" / "index.json").read_text())
    younger = ("recall_queries", "sha256")
    write_document(tmp_path / "i", {name: value for name, value in document.items() if name not in younger})
    assert len(open_index(tmp_path / "i")) == 300
    document = build_index(table, tmp_path / "i", kind=kind)
    assert (document["rebuilt"], document["recall_queries"]) == (kind == "hnsw", n_queries if kind == "hnsw" else None)


def test_the_chosen_graph_is_complete(held, monkeypatch):
    """A graph chosen from a trial with all rows has them all, and its rate was discounted for the rows it lacked."""
    monkeypatch.setattr(choose_kind, "time_exact", lambda _: Speed(500.0, 2.0))
    monkeypatch.setattr(
        "frieze.indexing.build.trials.KINDS", {kind: choose_kind.KINDS[kind] for kind in ("exact", "hnsw")}
    )
    monkeypatch.setattr(choose_kind, "build_kind", None)
    shares, real = [], choose_kind._build_best
    monkeypatch.setattr(
        choose_kind,
        "_build_best",
        lambda build_request, trials: shares.append(trials[0].rate_factor) or real(build_request, trials),
    )
    build_request = BuildRequest(held, compute_ground_truth(held), 0.9)
    choice = choose(build_request, "auto")
    assert (choice.searcher.kind, choice.searcher.faiss_index.ntotal, shares) == ("hnsw", 1_000, [0.95])
    assert not len(choice.searcher.left_out)


def test_queries_are_not_trained_on(held):
    """A graph's queries are among those that no kind is trained on, and are computed once."""
    build_request = BuildRequest(held, compute_ground_truth(held), 0.9)
    assert np.isin(build_request.ground_truth_for("hnsw").rows, build_request.ground_truth.rows).all()
    assert build_request.ground_truth_for("hnsw") is build_request.ground_truth_for("hnsw")
    assert build_request.ground_truth_for("ivf") is build_request.ground_truth
    assert dataclasses.replace(build_request, target=0.8).ground_truth_for("sq8") is build_request.ground_truth

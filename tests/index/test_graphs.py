"""The recall of a graph: rows are linked to rows, so it is measured before those that ask are in it."""

import dataclasses
import json

import faiss
import numpy as np
import pytest

from frieze.features import top_k
from frieze.indexing import build_index, open_index
from frieze.indexing.build import choose_kind as choosing
from frieze.indexing.build.build_request import BuildRequest
from frieze.indexing.build.choose_kind import Speed, choose
from frieze.indexing.build.recall import hold_out, make_probe, measure_recall, probe_for_many
from frieze.indexing.build.train_and_add import Filler
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.vectors import HeldVectors
from frieze.indexing.storage.generations import write_document


def gaussian(n_rows, dim, *, seed=0):
    """Vectors of unit length without any structure, which graphs find it hard to reach."""
    drawn = np.random.default_rng(seed).normal(size=(n_rows, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def ask_new(searcher, queries, embeddings, k):
    """Give the recall of queries that are no rows."""
    _, exact = top_k(queries, embeddings, k=k)
    _, found = searcher.search(queries, k=k)
    return (found >= exact[:, -1:] - 1e-6).mean()


def assert_honest(n_rows, dim, target, seed, n_times=1):
    """Hold what is told of a graph of rows, each there some times, against 1,000 queries that are no rows."""
    drawn = gaussian(n_rows + 1_000, dim, seed=seed)
    queries, rows = drawn[n_rows:], np.tile(drawn[:n_rows], (n_times, 1))
    held = HeldVectors(rows, metric="cosine")
    choice = choose(BuildRequest(held, make_probe(held), target), "hnsw")
    low, high = choice.tuned.interval
    recall = ask_new(choice.searcher, queries, rows, 10)
    assert choice.tuned.does
    assert low - 0.01 <= recall <= high + 0.01  # the interval of 1,000 queries
    assert recall >= target - 0.01
    assert ask_new(choice.searcher, queries, rows, 100) >= target - 0.01


@pytest.fixture(scope="module")
def held():
    """1,000 vectors of width 32."""
    return HeldVectors(gaussian(1_000, 32), metric="cosine")


@pytest.fixture
def graph(held):
    """A graph of these that lacks what measures it, and its probe."""
    probe = hold_out(held, make_probe(held))
    codes = Filler(held, unseen=probe.rows).fill("hnsw", left_out=probe.left_out)
    return Searcher.over(held, codes, kind="hnsw", left_out=probe.left_out), probe


def test_recall_is_that_of_new_queries():
    """What is told of a small graph is what queries find that are no rows of the table."""
    assert_honest(1_600, 64, 0.9, 3)


def test_equal_rows_lift_no_recall():
    """Where each row is there twice, what is told is still what queries find that are no rows."""
    assert_honest(800, 64, 0.9, 3, n_times=2)


@pytest.mark.slow
@pytest.mark.parametrize(("n_rows", "dim", "target"), [(2_500, 64, 0.95), (3_000, 32, 0.95), (12_000, 64, 0.9)])
@pytest.mark.parametrize("seed", [1, 3, 5])
def test_recall_is_that_of_new_queries_of_any_size(n_rows, dim, target, seed):
    """The same of more rows and other shapes."""
    assert_honest(n_rows, dim, target, seed)


@pytest.mark.parametrize(("n_rows", "n_asked"), [(49, 9), (300, 30), (1_000, 50), (2_500, 125), (12_000, 500)])
def test_nearly_the_whole_graph_is_measured(n_rows, n_asked):
    """A twentieth of the rows asks and is left out, or some dozens of few."""
    few = HeldVectors(gaussian(n_rows, 4), metric="l2")
    probe = hold_out(few, make_probe(few))
    assert len(probe.rows) == n_asked
    np.testing.assert_array_equal(probe.left_out, probe.rows)


def test_what_equals_a_query_is_left_out():
    """Rows that equal one that asks are left out with it, a tenth of all at most; those with fewest equals ask."""
    rows = gaussian(1_000, 8)
    rows[300:600], rows[600:] = rows[:300], rows[0]
    table = HeldVectors(rows, metric="l2")
    probe = hold_out(table, make_probe(table))
    is_equal = (rows[:, None] == probe.queries).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_equal), probe.left_out)
    assert 20 < len(probe.rows) < len(probe.left_out) <= 100


def test_equal_rows_alone_are_measured_as_they_are():
    """Where nearly all rows are equal the graph is measured whole: any answer is right."""
    table = HeldVectors(np.tile(gaussian(1, 8), (200, 1)), metric="cosine")
    probe = make_probe(table)
    assert hold_out(table, probe) is probe


def test_a_few_rows_are_measured_as_they_are():
    """A graph of so few rows that it looks at all of them is measured whole."""
    few = HeldVectors(gaussian(48, 4), metric="l2")
    probe = make_probe(few)
    assert hold_out(few, probe) is probe
    assert not len(probe.left_out)


@pytest.mark.parametrize("k", [10, 100])
def test_answers_are_rows_that_are_in_it(k, held):
    """The exact answers are NumPy's over the rows that are in the graph, for ten and for a hundred."""
    probe = hold_out(held, make_probe(held))
    probe = probe if k == 10 else probe_for_many(held, probe)
    others = np.setdiff1d(np.arange(1_000), probe.left_out)
    exact, scores = top_k(held.take(probe.rows), held.take(others), k=k)
    np.testing.assert_array_equal(probe.answers, others[exact])
    np.testing.assert_allclose(probe.worst, scores[:, -1], atol=1e-6)


def test_who_looks_at_everything_has_recall_one(graph):
    """A graph that looks at all the rows it has finds all answers: none that it lacks is asked for."""
    searcher, probe = graph
    searcher.effort = SearchParams(2_000, 32)
    assert measure_recall(searcher, probe).mean() == 1


def test_what_it_lacks_is_never_found(graph):
    """Rows that are left out are found by nobody, not where the graph gives too few and all rows are gone through."""
    searcher, probe = graph
    found, _ = searcher.search(probe.queries, k=940)
    assert not np.isin(found, probe.left_out).any()


def test_what_it_lacks_is_put_into_it(graph):
    """After the rows were added, each finds itself first, and it looks as hard as it was tuned to."""
    searcher, probe = graph
    assert searcher.share == 0.95
    searcher.add(probe.rows, probe.queries)
    searcher.effort = SearchParams(200, 2)
    found, _ = searcher.search(probe.queries, k=1)
    assert (found[:, 0] == probe.rows).mean() > 0.95
    assert (searcher.share, searcher.codes.ntotal) == (1.0, 1_000)


def test_every_row_is_in_what_is_stored_once(tmp_path, write_table):
    """A graph on disk has each row once: one that was asked for, and one that was filled anew with other rows."""
    for n_rows in (700, 800):
        table = write_table(tmp_path / f"{n_rows}.features", gaussian(n_rows, 8))
        document = build_index(table, tmp_path / "i", kind="hnsw")
        folder = tmp_path / "i" / open_index(tmp_path / "i").document["generation"]
        codes = faiss.read_index(str(folder / "index.faiss"))
        np.testing.assert_array_equal(np.sort(faiss.vector_to_array(codes.id_map)), np.arange(n_rows))
    assert "filled anew with what it had learnt" in document["why"]


@pytest.mark.parametrize(("kind", "n_queries"), [("hnsw", 30), ("ivf", 60), ("exact", None)])
def test_an_older_graph_is_built_anew(kind, n_queries, tmp_path, write_table):
    """A graph from before `recall_queries` was stored still opens and is built anew; no other kind is."""
    table = write_table(tmp_path / "t", gaussian(300, 8))
    assert build_index(table, tmp_path / "i", kind=kind)["recall_queries"] == n_queries
    document = json.loads((tmp_path / "i" / "index.json").read_text())
    younger = ("recall_queries", "sha256")
    write_document(tmp_path / "i", {name: value for name, value in document.items() if name not in younger})
    assert len(open_index(tmp_path / "i")) == 300
    told = build_index(table, tmp_path / "i", kind=kind)
    assert (told["rebuilt"], told["recall_queries"]) == (kind == "hnsw", n_queries if kind == "hnsw" else None)


def test_the_one_that_won_is_whole(held, monkeypatch):
    """A graph that was tried on all rows and won has them all, and its rate counts as that of fewer rows before."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: Speed(500.0, 2.0))
    monkeypatch.setattr(
        "frieze.indexing.build.trials.KINDS", {kind: choosing.KINDS[kind] for kind in ("exact", "hnsw")}
    )
    monkeypatch.setattr(choosing, "fill", None)
    shares, real = [], choosing._best
    monkeypatch.setattr(choosing, "_best", lambda task, trials: shares.append(trials[0].share) or real(task, trials))
    task = BuildRequest(held, make_probe(held), 0.9)
    choice = choose(task, "auto")
    assert (choice.searcher.kind, choice.searcher.codes.ntotal, shares) == ("hnsw", 1_000, [0.95])
    assert not len(choice.searcher.left_out)


def test_what_asks_was_not_learnt_from(held):
    """The rows that measure a graph are among those that no kind learns from, and given once for all efforts."""
    task = BuildRequest(held, make_probe(held), 0.9)
    assert np.isin(task.probe_for("hnsw").rows, task.probe.rows).all()
    assert task.probe_for("hnsw") is task.probe_for("hnsw")
    assert task.probe_for("ivf") is task.probe
    assert dataclasses.replace(task, target=0.8).probe_for("sq8") is task.probe

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from index import choosing
from index.choosing import Task, choose, limit_effort, time_exact, tune
from index.recall import make_probe


@pytest.fixture(scope="module")
def task(table):
    """The shared table, to be indexed by cosine at a recall of 0.95."""
    return Task(table, make_probe(table, "cosine"), "cosine", 0.95)


def rising(recall_at, *, n_queries=4):
    """A searcher and a measure of recall that depends on its effort alone."""
    searcher = SimpleNamespace(effort=1, asked=[])

    def measure(searcher, _):
        searcher.asked.append(searcher.effort)
        return np.full(n_queries, recall_at(searcher.effort))

    return searcher, measure


def test_quick_exact_search_wins(task, monkeypatch):
    """Where an exact query is below 5 ms, exact is chosen."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: 4.9)
    choice = choose(task, "auto")
    assert (choice.kind, choice.recipe, choice.recall) == ("exact", "Flat", 1.0)
    assert choice.why == "An exact query takes 4.9 ms here."


def test_lists_win_where_exact_is_slow(task, monkeypatch):
    """Where an exact query is slow, lists are chosen that reach the recall asked for."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: 500.0)
    choice = choose(task, "auto")
    assert (choice.kind, choice.recipe) == ("ivf", "IVF51,Flat")
    assert choice.recall >= 0.95
    assert choice.searcher.effort < 51


def test_exact_where_lists_miss_the_recall(task, monkeypatch):
    """Lists that do not find enough give way to exact, and the reason says what they reached."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: 500.0)
    monkeypatch.setattr(choosing, "tune", lambda searcher, *_, **__: 0.5 if hasattr(searcher.raw, "nlist") else 1.0)
    choice = choose(task, "auto")
    assert choice.kind == "exact"
    assert choice.why == "IVF51,Flat reached a recall of only 0.500 in half the time of an exact query."


def test_exact_where_lists_win_no_time(task, monkeypatch):
    """Lists that take as long as an exact search give way to it."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: 6.0)
    monkeypatch.setattr(choosing, "measure_ms", lambda *_: 6.5)
    choice = choose(dataclasses.replace(task, target=0.01), "auto")
    assert choice.why == "IVF51,Flat needs 6.5 ms a query for that recall, an exact one 6 ms."
    assert choice.kind == "exact"


def test_few_rows_are_exact(small):
    """A table too small to train two lists is searched exactly, without timing anything."""
    choice = choose(Task(small, make_probe(small, "l2"), "l2", 0.95), "auto")
    assert (choice.kind, choice.why) == ("exact", "60 rows are too few to train lists.")


@pytest.mark.parametrize("n_rows", [1, 2, 50])
def test_lists_on_demand_for_any_size(n_rows, tmp_path, capfd, clustered, write_table):
    """Lists that were asked for are made of the smallest table too, and FAISS does not talk on stderr."""
    table = write_table(tmp_path / "t", clustered(n_rows, 8))
    choice = choose(Task(table, make_probe(table, "cosine"), "cosine", 1.0), "ivf")
    assert (choice.recipe, choice.recall, choice.why) == ("IVF1,Flat", 1.0, "ivf was asked for.")
    assert capfd.readouterr() == ("", "")


def test_exact_time_is_scaled_to_the_table(task, monkeypatch):
    """An exact query over the whole table is told from a sample: twenty times the rows, twenty times the time."""
    monkeypatch.setattr(choosing, "_TIMED_FLOATS", 100 * 16)
    sizes = []
    monkeypatch.setattr(choosing, "measure_ms", lambda searcher, _: sizes.append(searcher.raw.ntotal) or 0.5)
    assert time_exact(task) == pytest.approx(10.0)
    assert sizes == [100]


@pytest.mark.parametrize("enough", [1, 2, 3, 7, 8, 9, 64, 99, 100])
def test_tuning_finds_the_least_effort(enough, monkeypatch):
    """The least effort that reaches the recall is set, found in few trials."""
    searcher, measure = rising(lambda effort: 0.97 if effort >= enough else 0.9)
    monkeypatch.setattr(choosing, "measure_recall", measure)
    assert tune(searcher, None, target=0.95, most=100) == pytest.approx(0.97)
    assert 0 <= searcher.effort - enough <= enough / 32
    assert len(searcher.asked) <= 15


def test_tuning_ends_at_the_most(monkeypatch):
    """Where no effort reaches the recall, the most is set and what it reached is told."""
    searcher, measure = rising(lambda _: 0.5)
    monkeypatch.setattr(choosing, "measure_recall", measure)
    assert tune(searcher, None, target=0.95, most=100) == pytest.approx(0.5)
    assert searcher.effort == 100


@pytest.mark.parametrize(("limit_ms", "most"), [(1_000.0, 100), (100.0, 100), (50.0, 45), (3.0, 2), (0.1, 1)])
def test_effort_is_limited_by_time(limit_ms, most, monkeypatch):
    """The efforts tried end below the one at which a query takes longer than the limit."""
    monkeypatch.setattr(choosing, "measure_ms", lambda searcher, _: float(searcher.effort))
    assert limit_effort(SimpleNamespace(effort=1), None, most=100, limit_ms=limit_ms) == most


def test_lists_are_not_tried_where_exact_is_faster(task, monkeypatch):
    """Where lists take as long as an exact query before they find enough, exact is chosen after few trials."""
    monkeypatch.setattr(choosing, "time_exact", lambda _: 20.0)
    monkeypatch.setattr(choosing, "measure_ms", lambda searcher, _: 5.0 * searcher.effort)
    trials = []
    monkeypatch.setattr(choosing, "measure_recall", lambda searcher, _: trials.append(searcher.effort) or np.zeros(4))
    assert choose(task, "auto").kind == "exact"
    assert trials == [1, 1]


def test_tuning_leaves_room_for_other_queries(monkeypatch):
    """Recall on the measured queries must stand two standard errors above the target."""
    monkeypatch.setattr(
        choosing, "measure_recall", lambda searcher, _: np.array([1.0, 0.9] * 50) + searcher.effort / 500
    )
    searcher = SimpleNamespace(effort=1)
    tune(searcher, None, target=0.95, most=100)
    assert searcher.effort == 5  # 0.95 + 5/500 - 2 * 0.05/10

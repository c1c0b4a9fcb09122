from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from frieze.indexing.build import tune_search as tuning
from frieze.indexing.build.tune_search import tune, tune_for_many
from frieze.indexing.faiss_layer.searcher import SearchParams


class Lists:
    """A searcher of a hundred lists."""

    codes = "codes"
    share = 1.0

    def __init__(self, kind="ivf"):
        self.kind, self.effort, self.asked = kind, SearchParams(), []


@pytest.fixture
def measures(monkeypatch):
    """`measures(recall, rate)`: what is measured depends on the effort alone."""

    def set_up(recall_at, rate_at=lambda effort: 1_000.0 / effort.knob):
        def measure(searcher, _):
            searcher.asked.append(searcher.effort)
            return np.broadcast_to(recall_at(searcher.effort), 4)

        monkeypatch.setattr(tuning, "measure_recall", measure)
        monkeypatch.setattr(tuning, "measure_rate", lambda searcher, _: rate_at(searcher.effort))
        monkeypatch.setattr(faiss, "try_extract_index_ivf", lambda _: SimpleNamespace(nlist=100))

    return set_up


@pytest.mark.parametrize("enough", [1, 2, 3, 7, 8, 9, 64, 99, 100])
def test_the_least_effort(enough, measures):
    """The least effort that reaches the recall is set, found in few trials."""
    measures(lambda effort: 0.97 if effort.knob >= enough else 0.9)
    searcher = Lists()
    tuned = tune(searcher, None, target=0.95)
    assert (tuned.recall, tuned.does) == (pytest.approx(0.97), True)
    assert 0 <= searcher.effort.knob - enough <= enough / 32
    assert searcher.effort == tuned.effort
    assert len(searcher.asked) <= 15


def test_graphs_begin_with_what_they_do_anyway(measures):
    """A graph looks at all rows that are scored anew at the least; a smaller knob would say nothing."""
    measures(lambda _: 1.0)
    searcher = Lists("hnsw")
    tune(searcher, SimpleNamespace(k=10), target=0.5)
    assert searcher.effort == SearchParams(22, 2)  # ten hits and the query's own row


def test_the_most(measures):
    """Where no effort reaches the recall, what comes nearest is set and told, without a rate."""
    measures(lambda effort: 0.5 + effort.knob / 1000)
    searcher = Lists()
    tuned = tune(searcher, None, target=0.95)
    assert (tuned.recall, tuned.does, tuned.rate) == (pytest.approx(0.6), False, 0.0)
    assert searcher.effort.knob == 100


def test_the_fastest_number_of_candidates(measures):
    """Of the numbers of rows to score anew that reach the recall, the one that answers most queries is set."""
    least = {2: 64, 4: 8, 8: 7, 16: 7, 32: 7}
    rates = {2: 100.0, 4: 700.0, 8: 600.0}
    measures(
        lambda effort: 0.96 if effort.knob >= least[effort.k_factor] else 0.5 + effort.knob / 200,
        lambda effort: rates[effort.k_factor],
    )
    searcher = Lists("pq")
    tuned = tune(searcher, None, target=0.95)
    assert (searcher.effort.k_factor, tuned.rate) == (4, 700.0)
    assert max(effort.k_factor for effort in searcher.asked) == 8  # slower already: no more is tried


def test_more_lists_that_find_no_more(measures):
    """Where looking into more lists finds nothing more, more rows are scored anew instead."""
    measures(lambda effort: min(0.9 + 0.02 * np.log2(effort.knob), 0.88 + effort.k_factor / 100))
    searcher = Lists("pq")
    assert tune(searcher, None, target=0.95).effort.k_factor == 8
    assert max(effort.knob for effort in searcher.asked if effort.k_factor == 2) <= 4


def test_room_for_other_queries(measures):
    """Recall on the measured queries must stand two standard errors above the target."""
    spread = np.array([0.05, -0.05] * 2)
    measures(lambda effort: 0.85 + spread + effort.knob / 500)
    searcher = Lists()
    tune(searcher, None, target=0.85)
    assert searcher.effort.knob == 25  # 0.85 + 25/500 - 2 * 0.05/2


@pytest.mark.parametrize(("enough", "expected"), [(2, SearchParams(6)), (40, SearchParams(40))])
def test_harder_for_many_hits(enough, expected, measures):
    """For many hits it looks as hard as for ten at the least, and as much harder as the recall takes."""
    measures(lambda effort: 0.97 if effort.knob >= enough else 0.9)
    searcher = Lists()
    searcher.effort = SearchParams(6)
    assert tune_for_many(searcher, None, target=0.95).does
    assert (searcher.effort, searcher.many) == (SearchParams(6), expected)


def test_more_candidates_for_many_hits(measures):
    """Where looking into more lists finds no more, more rows are scored anew; the nearest is set where none does."""
    measures(lambda effort: 0.5 + effort.k_factor / 100)
    searcher = Lists("pq")
    searcher.effort = SearchParams(6, 4)
    tuned = tune_for_many(searcher, None, target=0.95)
    assert (tuned.does, tuned.recall, searcher.many.k_factor) == (False, pytest.approx(0.82), 32)

from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from frieze.indexing.build import tune_search
from frieze.indexing.build.tune_search import tune, tune_at_100
from frieze.indexing.faiss_layer.searcher import SearchParams


class Lists:
    """A searcher of a hundred lists."""

    faiss_index = "codes"
    share = 1.0

    def __init__(self, kind="ivf"):
        self.kind, self.search_params, self.calls = kind, SearchParams(), []


@pytest.fixture
def measures(monkeypatch):
    """`measures(recall, rate)`: recall and rate depend on the search parameters alone."""

    def set_up(recall_at, rate_at=lambda search_params: 1_000.0 / search_params.search_param):
        def measure(searcher, _):
            searcher.calls.append(searcher.search_params)
            return np.broadcast_to(recall_at(searcher.search_params), 4)

        monkeypatch.setattr(tune_search, "measure_recall", measure)
        monkeypatch.setattr(tune_search, "measure_rate", lambda searcher, _: rate_at(searcher.search_params))
        monkeypatch.setattr(faiss, "try_extract_index_ivf", lambda _: SimpleNamespace(nlist=100))

    return set_up


@pytest.mark.parametrize("enough", [1, 2, 3, 7, 8, 9, 64, 99, 100])
def test_the_least_search_param(enough, measures):
    """The least search parameter that meets the target is found in few trials."""
    measures(lambda search_params: 0.97 if search_params.search_param >= enough else 0.9)
    searcher = Lists()
    tuned = tune(searcher, None, target=0.95)
    assert (tuned.recall, tuned.meets_target) == (pytest.approx(0.97), True)
    assert 0 <= searcher.search_params.search_param - enough <= enough / 32
    assert searcher.search_params == tuned.search_params
    assert len(searcher.calls) <= 15


def test_graphs_begin_at_their_minimum(measures):
    """A graph scores at least all rescored candidates; a smaller efSearch is not tried."""
    measures(lambda _: 1.0)
    searcher = Lists("hnsw")
    tune(searcher, SimpleNamespace(k=10), target=0.5)
    assert searcher.search_params == SearchParams(22, 2)  # ten hits and the query's own row


def test_the_largest_search_param(measures):
    """Where no value meets the target, the one that comes nearest is set and returned, without a rate."""
    measures(lambda search_params: 0.5 + search_params.search_param / 1000)
    searcher = Lists()
    tuned = tune(searcher, None, target=0.95)
    assert (tuned.recall, tuned.meets_target, tuned.rate) == (pytest.approx(0.6), False, 0.0)
    assert searcher.search_params.search_param == 100


def test_the_fastest_number_of_candidates(measures):
    """Of the numbers of candidates that meet the target, the fastest is set."""
    least = {2: 64, 4: 8, 8: 7, 16: 7, 32: 7}
    rates = {2: 100.0, 4: 700.0, 8: 600.0}
    measures(
        lambda search_params: (
            0.96
            if search_params.search_param >= least[search_params.k_factor]
            else 0.5 + search_params.search_param / 200
        ),
        lambda search_params: rates[search_params.k_factor],
    )
    searcher = Lists("pq")
    tuned = tune(searcher, None, target=0.95)
    assert (searcher.search_params.k_factor, tuned.rate) == (4, 700.0)
    assert max(search_params.k_factor for search_params in searcher.calls) == 8  # slower already: no more is tried


def test_more_candidates_where_lists_gain_nothing(measures):
    """Where more lists gain no recall, more candidates are rescored instead."""
    measures(
        lambda search_params: min(0.9 + 0.02 * np.log2(search_params.search_param), 0.88 + search_params.k_factor / 100)
    )
    searcher = Lists("pq")
    assert tune(searcher, None, target=0.95).search_params.k_factor == 8
    assert max(search_params.search_param for search_params in searcher.calls if search_params.k_factor == 2) <= 4


def test_two_standard_errors_above_the_target(measures):
    """The recall of the measured queries must be two standard errors above the target."""
    spread = np.array([0.05, -0.05] * 2)
    measures(lambda search_params: 0.85 + spread + search_params.search_param / 500)
    searcher = Lists()
    tune(searcher, None, target=0.85)
    assert searcher.search_params.search_param == 25  # 0.85 + 25/500 - 2 * 0.05/2


@pytest.mark.parametrize(("enough", "expected"), [(2, SearchParams(6)), (40, SearchParams(40))])
def test_search_params_for_100_hits(enough, expected, measures):
    """For 100 hits the search parameter is at least that for ten, and as large as the target requires."""
    measures(lambda search_params: 0.97 if search_params.search_param >= enough else 0.9)
    searcher = Lists()
    searcher.search_params = SearchParams(6)
    assert tune_at_100(searcher, None, target=0.95).meets_target
    assert (searcher.search_params, searcher.search_params_at_100) == (SearchParams(6), expected)


def test_more_candidates_for_100_hits(measures):
    """Where more lists gain nothing more candidates are rescored; the best recall is set where none suffices."""
    measures(lambda search_params: 0.5 + search_params.k_factor / 100)
    searcher = Lists("pq")
    searcher.search_params = SearchParams(6, 4)
    tuned = tune_at_100(searcher, None, target=0.95)
    assert (tuned.meets_target, tuned.recall, searcher.search_params_at_100.k_factor) == (
        False,
        pytest.approx(0.82),
        32,
    )

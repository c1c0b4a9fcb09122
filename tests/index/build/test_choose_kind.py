import dataclasses
import re

import numpy as np
import pytest

from frieze.core import InputError
from frieze.indexing.build import choose_kind, trials
from frieze.indexing.build.build_request import BuildRequest
from frieze.indexing.build.choose_kind import Speed, choose, time_exact
from frieze.indexing.build.recall import compute_ground_truth
from frieze.indexing.build.trials import try_kinds
from frieze.indexing.build.tune_search import Tuned
from frieze.indexing.faiss_layer.kinds import KINDS, count_build_bytes, count_bytes
from frieze.indexing.faiss_layer.searcher import SearchParams
from frieze.indexing.faiss_layer.vectors import InMemoryVectors


@pytest.fixture(scope="module")
def build_request(vectors):
    """The shared vectors with metric l2 and a recall target of 0.95."""
    held = InMemoryVectors(vectors, metric="l2")
    return BuildRequest(held, compute_ground_truth(held), 0.95)


@pytest.fixture
def slow(monkeypatch):
    """An exact query is slow."""
    monkeypatch.setattr(choose_kind, "time_exact", lambda _: Speed(500.0, 2.0))


@pytest.fixture
def rates(monkeypatch):
    """`rates(pq=900, ivf=None)`: queries a second of each kind; None where it misses the target."""

    def set_up(**actual):
        def tune(searcher, _, *, target, **__):
            rate = actual.get(searcher.kind.replace("-", "_"), 1)
            return Tuned(SearchParams(3, 2), 0.5 if rate is None else 0.97, rate is not None, float(rate or 0))

        monkeypatch.setattr(trials, "tune", tune)
        monkeypatch.setattr(choose_kind, "tune", tune)

    return set_up


def test_fast_exact_search_wins(build_request, monkeypatch):
    """Where an exact query takes less than 5 ms, exact is chosen."""
    monkeypatch.setattr(choose_kind, "time_exact", lambda _: Speed(4.9, 300.0))
    choice = choose(build_request, "auto")
    assert (choice.searcher.kind, choice.recipe, choice.tuned.recall) == ("exact", "Flat", 1.0)
    assert (choice.ms_per_query, choice.tuned.rate) == (4.9, 300.0)
    assert choice.why == "An exact query takes 4.9 ms here."


def test_the_fastest_kind_wins(build_request, slow, rates):
    """Where exact queries are slow, the kind with the most queries a second is chosen, and all trials are reported."""
    rates(pq=900, rabitq=800, hnsw=None)
    choice = choose(build_request, "auto")
    assert choice.searcher.kind == "pq"
    assert choice.why == (
        "pq answers most queries a second at a recall of 0.95; the runner-up is rabitq; then ivf, fp16, sq8, pca-pq;"
        " short of the recall: hnsw."
    )
    assert [one["kind"] for one in choice.tried] == ["pq", "rabitq", "ivf", "fp16", "sq8", "pca-pq", "hnsw"]
    assert [one["queries_per_second"] for one in choice.tried] == [900, 800, 1, 1, 1, 1, None]


def test_a_trial_with_all_rows_is_reused(build_request, slow, rates, monkeypatch):
    """A kind that was tried with all rows is not built again."""
    rates(pq=900)
    monkeypatch.setattr(choose_kind, "build_kind", None)
    assert choose(build_request, "auto").searcher.faiss_index.ntotal == 2_000


def test_only_kinds_within_the_memory_limit(build_request, slow, rates):
    """Within a memory limit the fastest kind that fits wins; the others are reported, but not tried."""
    rates(ivf=900, sq8=800, pq=700)
    choice = choose(dataclasses.replace(build_request, max_bytes=count_bytes("sq8", 2_000, 16)), "auto")
    assert choice.searcher.kind == "sq8"
    assert "within 52KB" in choice.why
    assert choice.why.endswith("too large: ivf, fp16, hnsw.")
    assert [one["recall_at_10"] for one in choice.tried][-3:] == [None] * 3


def test_fast_exact_search_must_fit_too(build_request, rates, monkeypatch):
    """Exact search is not chosen where it exceeds the memory limit, however fast."""
    rates(pq=700)
    monkeypatch.setattr(choose_kind, "time_exact", lambda _: Speed(0.1, 1.0))
    assert choose(dataclasses.replace(build_request, max_bytes=60_000), "auto").searcher.kind == "pq"


def test_no_kind_meets_the_target(build_request, slow, rates):
    """Where no kind meets the target, exact is built if it fits; else the error names the best kind and a hint."""
    rates(**dict.fromkeys([kind.replace("-", "_") for kind in KINDS if kind != "exact"]))
    choice = choose(build_request, "auto")
    assert (choice.searcher.kind, choice.why) == ("exact", "No other kind reaches a recall of 0.95 here.")
    with pytest.raises(InputError, match=r"reaches a recall of 0\.95 within 60KB; the best is") as caught:
        choose(dataclasses.replace(build_request, max_bytes=60_000), "auto")
    assert caught.value.hint == "Give `recall=0.5`, or `max_memory='128KB'`."


def test_no_kind_fits(build_request):
    """Where no kind fits the memory, the error names the smallest one and its memory."""
    text = r"No kind of index fits; the smallest, .*, would take .*KB, more than the 5KB given"
    with pytest.raises(InputError, match=text) as caught:
        choose(dataclasses.replace(build_request, max_bytes=5_000), "auto")
    assert caught.value.hint.startswith("Give `max_memory=")


@pytest.mark.parametrize("kind", KINDS)
def test_a_requested_kind(kind, build_request):
    """A requested kind is built and tuned to the best recall that it reaches."""
    choice = choose(build_request, kind)
    assert (choice.searcher.kind, choice.why, choice.tried) == (kind, f"{kind} was requested.", [])
    assert choice.tuned.recall >= KINDS[kind].floor


def test_a_requested_kind_that_does_not_fit(build_request):
    """A requested kind beyond the memory limit is refused with the memory it requires."""
    with pytest.raises(InputError, match=r"ivf would take 14.KB, more than the 10KB given"):
        choose(dataclasses.replace(build_request, max_bytes=10_000), "ivf")
    text = r"ivf would take 14.KB, more than the 10KB given and 301MB to build, more than the 200MB given"
    with pytest.raises(InputError, match=text) as caught:
        choose(dataclasses.replace(build_request, max_bytes=10_000, max_build_bytes=200_000_000), "ivf")
    assert re.fullmatch(r"Give `max_memory='14.KB', max_build_memory='301MB'`\.", caught.value.hint)


def test_a_kind_too_large_to_build(build_request, slow, rates):
    """A kind that fits while it serves, but not while it is built, is not chosen."""
    rates(hnsw=900, pq=800)
    choice = choose(dataclasses.replace(build_request, max_build_bytes=count_build_bytes("sq8", 2_000, 16)), "auto")
    assert (choice.searcher.kind, choice.why.endswith("too large: ivf, fp16, hnsw.")) == ("pq", True)
    assert "built within 301MB" in choice.why


def test_samples_keep_the_build_limit(build_request, monkeypatch):
    """Rows for trials, timing and training take their fractions of the build memory."""
    monkeypatch.setattr("frieze.indexing.faiss_layer.kinds._MIN_BUILD_BYTES", 0)
    held, real = [], InMemoryVectors.__init__
    monkeypatch.setattr(
        InMemoryVectors, "__init__", lambda *args, **named: held.append(len(args[1])) or real(*args, **named)
    )
    n_trained, trainer = [], choose_kind.IndexTrainer
    monkeypatch.setattr(
        choose_kind,
        "IndexTrainer",
        lambda vectors, unseen, max_training_rows, populator: (
            n_trained.append(max_training_rows) or trainer(vectors, populator=populator)
        ),
    )
    describe_limits = dataclasses.replace(build_request, max_build_bytes=200_000)
    try_kinds(describe_limits)
    time_exact(describe_limits)
    choose(describe_limits, "pq")
    assert (held, n_trained) == ([195, 195], [520])  # 200,000 bytes / 16, / 6, at 64 bytes a row


def test_a_kind_without_the_metric(vectors):
    """A kind that does not support the metric is refused."""
    held = InMemoryVectors(vectors, metric="dot")
    with pytest.raises(InputError, match="say little about dot products"):
        choose(BuildRequest(held, compute_ground_truth(held), 0.95), "pca-pq")


def test_few_rows_are_exact(clustered):
    """A table too small to train two lists is searched exactly, without timing; so is one too small for its codes."""
    held = InMemoryVectors(clustered(60, 8), metric="l2")
    build_request = BuildRequest(held, compute_ground_truth(held), 0.95)
    assert choose(build_request, "auto").why == "60 rows are too few to train lists."
    assert (choose(build_request, "pq").searcher.kind, choose(build_request, "pq").why) == (
        "exact",
        "60 rows are too few to train pq.",
    )


@pytest.mark.parametrize("n_rows", [1, 2, 50])
def test_requested_lists_for_any_size(n_rows, capfd, clustered):
    """A requested ivf is built for the smallest table too, and FAISS writes nothing to stderr."""
    held = InMemoryVectors(clustered(n_rows, 8), metric="l2")
    choice = choose(BuildRequest(held, compute_ground_truth(held), 1.0), "ivf")
    assert (choice.recipe, choice.tuned.recall, choice.why) == ("IVF1,Flat", 1.0, "ivf was requested.")
    assert capfd.readouterr() == ("", "")


def test_exact_time_is_scaled_to_the_table(build_request, monkeypatch):
    """The time of an exact query is scaled up from a sample: twenty times the rows, twenty times the time."""
    monkeypatch.setattr(choose_kind, "_TIMED_FLOATS", 100 * 16)
    sizes = []
    monkeypatch.setattr(choose_kind, "measure_ms", lambda searcher, _: sizes.append(searcher.flat.ntotal) or 0.5)
    monkeypatch.setattr(choose_kind, "measure_rate", lambda searcher, _: 4_000.0)
    assert dataclasses.astuple(time_exact(build_request)) == pytest.approx((10.0, 200.0))
    assert sizes == [100]


def test_many_rows_are_tried_on_a_sample(build_request, rates, monkeypatch):
    """Kinds are compared on a sample of a large collection, and the best is built with all rows."""
    monkeypatch.setattr(trials, "_TRIED_ROWS", 800)
    rates(pq=900)
    actual = try_kinds(build_request)
    assert (actual[0].kind, actual[0].recipe) == ("pq", "IVF51,PQ8x4fsr")
    assert all(trial.searcher is None for trial in actual)
    monkeypatch.setattr(choose_kind, "time_exact", lambda _: Speed(500.0, 2.0))
    assert choose(build_request, "auto").searcher.faiss_index.ntotal == 2_000


@pytest.mark.parametrize(("graph", "chosen"), [(1_400, "pq"), (1_600, "hnsw")])
def test_a_graph_is_discounted_on_a_sample(graph, chosen, build_request, slow, rates, monkeypatch):
    """On a sample a graph must lead by far, for its lead shrinks with all rows; the reason says so."""
    rates(pq=900, hnsw=graph)
    assert choose(build_request, "auto").searcher.kind == "hnsw"  # tried on all rows
    monkeypatch.setattr(trials, "_TRIED_ROWS", 800)
    choice = choose(build_request, "auto")
    assert choice.searcher.kind == chosen
    assert ("faster on a sample alone: hnsw" in choice.why) == (chosen == "pq")


def test_the_next_kind_where_the_first_misses(build_request, slow, rates, monkeypatch):
    """Where a kind meets the target on the sample but not with all rows, the next kind is built."""
    monkeypatch.setattr(trials, "_TRIED_ROWS", 800)
    rates(pq=900, ivf=800)
    short = Tuned(SearchParams(), 0.9, meets_target=False)
    real = choose_kind.tune
    monkeypatch.setattr(choose_kind, "tune", lambda s, *a, **k: short if s.kind == "pq" else real(s, *a, **k))
    choice = choose(build_request, "auto")
    assert (choice.searcher.kind, choice.tuned.recall) == ("ivf", 0.97)


def test_only_the_best_trial_is_kept(build_request, rates):
    """Of the trials with all rows only the best one keeps its index."""
    rates(pq=900)
    assert [trial.kind for trial in try_kinds(build_request) if trial.searcher is not None] == ["pq"]


def test_trials_measure_real_indexes(build_request):
    """On real vectors most kinds meet the target, and their recall is at least the target."""
    actual = {trial.kind: trial for trial in try_kinds(build_request)}
    assert set(actual) == set(KINDS) - {"exact"}
    assert np.mean([trial.meets_target for trial in actual.values()]) > 0.8
    assert all(trial.tuned.recall >= 0.95 for trial in actual.values() if trial.meets_target)


def test_a_kind_that_builds_slowly(build_request, slow, rates, monkeypatch):
    """The fastest kind loses where it builds for minutes and several times as long as another."""
    rates(hnsw=900, pq=800)
    monkeypatch.setattr(trials, "_LONG_S", 0.0)
    clock = iter(np.cumsum([1.0] * 18 + [60.0] * 3 + [1.0] * 300).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    choice = choose(build_request, "auto")
    assert (choice.searcher.kind, "slow to build: hnsw" in choice.why) == ("pq", True)

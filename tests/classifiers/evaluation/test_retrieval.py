"""Retrieval by label: a plain loop over all rankings, and scikit-learn, are the judges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from frieze.classifiers import evaluate_retrieval
from frieze.classifiers.evaluation import retrieval as module
from frieze.classifiers.evaluation.retrieval import CUTS, rank_figures
from frieze.core import InputError, unit_rows


def plain_figures(embeddings, labels, wholes):
    """Figures of each query by a plain loop over all but its relatives; scikit-learn gives the average precision."""
    unit = unit_rows(np.asarray(embeddings, np.float32))
    rows = []
    for query in range(len(labels)):
        others = [row for row in range(len(labels)) if wholes[row] != wholes[query]]
        others.sort(key=lambda row: -float(unit[query] @ unit[row]))
        hits = [labels[row] == labels[query] for row in others]
        if any(hits):
            ap = average_precision_score(hits, [float(unit[query] @ unit[row]) for row in others])
            cuts = [min(k, len(hits)) for k in (sum(hits), *CUTS)]
            rows.append([ap, *(np.mean(hits[:k]) for k in cuts)])
    return np.array(rows)


NAMES = ["map", "r_precision", *(f"precision_at_{k}" for k in CUTS)]


@pytest.fixture
def ranked(points, table):
    """A table of 45 images in three classes that overlap, and the figures of each query."""
    ids, labels, embeddings = points(noise=0.4, n=15)
    return table(ids, labels, embeddings), plain_figures(embeddings, labels, np.arange(45))


@pytest.mark.parametrize("block_floats", [1 << 25, 400])
def test_figures_are_those_of_a_plain_loop(block_floats, ranked, monkeypatch):
    """All means are those of a loop over every ranking, however few queries are scored at once."""
    monkeypatch.setattr(module, "_BLOCK_FLOATS", block_floats)
    table, expected = ranked
    actual = evaluate_retrieval(table)
    np.testing.assert_allclose([actual[name] for name in NAMES], expected.mean(axis=0), atol=1e-6)
    for one in actual["per_class"]:
        of_class = expected[table.labels == one["class"]]
        np.testing.assert_allclose([one[name] for name in NAMES], of_class.mean(axis=0), atol=1e-6)
        assert one["n_queries"] == 15
    counts = [actual[name] for name in ("rows", "n_queries", "n_alone", "n_unlabelled", "metric")]
    assert counts == [45, 45, 0, 0, "cosine"]
    assert actual["chance"] == pytest.approx(14 / 44)


def test_intervals_are_those_of_the_mean(ranked):
    """An interval has the width that the standard error of the mean over the queries says, and holds the mean."""
    table, expected = ranked
    actual, precisions = evaluate_retrieval(table), expected[:, 0]
    low, high = actual["map_interval"]
    assert low < actual["map"] < high
    assert high - low == pytest.approx(2 * 1.96 * precisions.std() / np.sqrt(len(precisions)), rel=0.1)


def test_equal_files_and_single_images(table, points):
    """A file equal to the query is left out; an image that is alone with its label is no query, but can be a hit."""
    ids, labels, embeddings = points(noise=0.5, n=10)
    labels[5], labels[6] = "dog", None
    sha256 = [f"hash of {name}" for name in ids]
    sha256[1], embeddings[1] = sha256[0], embeddings[0]
    features = table(ids, labels, embeddings, sha256=sha256)
    actual = evaluate_retrieval(features)
    wholes, kept = np.array([0, 0, *range(2, 30)]), [row for row in range(30) if row != 6]
    expected = plain_figures(embeddings[kept], np.array(labels, object)[kept], wholes[kept])
    np.testing.assert_allclose([actual[name] for name in NAMES], expected.mean(axis=0), atol=1e-6)
    assert [actual[name] for name in ("rows", "n_queries", "n_alone", "n_unlabelled")] == [29, 28, 1, 1]
    assert [one["class"] for one in actual["per_class"]] == ["ant", "bee", "cow"]


def test_frames_of_one_file_do_not_find_each_other(table, points, monkeypatch):
    """Frames of one file are left out of each other's ranking."""
    _, labels, embeddings = points(noise=0.5, n=10)
    ids = [f"{row // 2}.mp4#t={row % 2}" for row in range(30)]
    features = table(ids, labels, embeddings)
    wholes = np.arange(30) // 2
    monkeypatch.setattr(module, "number_wholes", lambda _: wholes[np.argsort(ids)])
    actual = evaluate_retrieval(features)
    expected = plain_figures(embeddings, labels, wholes)
    np.testing.assert_allclose([actual[name] for name in NAMES], expected.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("n_files", [4, 20])
def test_files_are_drawn_for_intervals(n_files):
    """Five queries of each of twenty files have the interval of twenty queries where they find alike; few have none."""
    figures = np.repeat(np.linspace(0.2, 0.9, n_files), 5)[:, None] * np.ones(len(module._FIGURES))
    actual = module._summarize(figures, np.repeat(np.arange(n_files), 5), np.random.default_rng(0))
    if n_files == 4:
        assert actual["map_interval"] is None
    else:
        low, high = actual["map_interval"]
        assert high - low == pytest.approx(2 * 1.96 * figures[::5, 0].std() / np.sqrt(20), rel=0.1)


def test_some_queries_are_drawn(ranked, monkeypatch):
    """Of a large table some queries are drawn by the seed, the same ones each time."""
    monkeypatch.setattr(module, "_ALL_UP_TO", 44)
    monkeypatch.setattr(module, "_MOST_QUERIES", 20)
    drawn = [evaluate_retrieval(ranked[0], seed=seed) for seed in (0, 0, 1)]
    assert [one["n_queries"] for one in drawn] == [20, 20, 20]
    assert drawn[0]["map"] == drawn[1]["map"] != drawn[2]["map"]


@pytest.mark.parametrize("labels", [["a", "b", None], [None, None, None]])
def test_nothing_to_find(labels, table):
    """Where no image can find another of its label, or none has one, that is said."""
    with pytest.raises(InputError, match=r"has two different images|has a label"):
        evaluate_retrieval(table(["x", "y", "z"], labels, np.eye(3, 8, dtype=np.float32)))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_equal_scores(ranking):
    """Ties count as in scikit-learn, and precisions are the mean over all orders of what is equal."""
    scores = np.array([score for score, _ in ranking], np.float32)
    hits = np.array([hit for _, hit in ranking])
    if not hits.any():
        return
    actual = rank_figures(scores, hits)
    assert actual[0] == pytest.approx(average_precision_score(hits, scores))
    mean_hits = [hits[scores == score].mean() for score in -np.sort(-scores)]
    for value, k in zip(actual[1:], (hits.sum(), *CUTS), strict=True):
        assert value == pytest.approx(np.mean(mean_hits[:k]))

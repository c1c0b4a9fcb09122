"""The benchmark of duplicates counts pairs and names rightly."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import duplicate_edits
from benchmarks.search.duplicate_collection import Collection
from benchmarks.search.duplicate_edits import Result, above, best_threshold, grouped, precision_and_recall

NAMES = ["p0-grey", "p0-mirror", "p0-original", "p1-grey", "p1-original", "u0", "u1"]
EDITS = ["grey", "mirror", "original", "grey", "original", "", ""]


@pytest.fixture
def collection():
    """Two photographs with three edits between them, and two untouched files."""
    return Collection(Path(), NAMES, np.array([0, 0, 0, 1, 1, -1, -1]), EDITS)


def _pairs(matrix):
    return {(row, other) for row, other in np.argwhere(np.triu(matrix)).tolist()}


def test_truth(collection):
    """Two files are copies when they show one photograph; untouched files are copies of nothing."""
    assert _pairs(collection.truth()) == {(0, 1), (0, 2), (1, 2), (3, 4)}


def test_grouped():
    """Every two of a group are a pair, and no others."""
    document = {"groups": [{"ids": ["p1-grey", "u0", "p0-grey"]}, {"ids": ["p1-original", "u1"]}]}
    assert _pairs(grouped(document, NAMES)) == {(0, 3), (0, 5), (3, 5), (4, 6)}


@pytest.mark.parametrize("seed", range(10))
def test_best_threshold(collection, seed):
    """The best threshold is the one whose pairs have the highest F1, of all thresholds that there are."""
    rng, truth = np.random.default_rng(seed), collection.truth()
    scores = np.round(rng.normal(size=truth.shape) + truth)
    scores = np.triu(scores, 1) + np.triu(scores, 1).T

    def f1(threshold):
        precision, recall = precision_and_recall(above(scores, threshold), truth)
        return 2 * precision * recall / max(1e-9, precision + recall)

    upper = scores[np.triu_indices(len(scores), 1)]
    assert f1(best_threshold(scores, truth)) == pytest.approx(max(f1(value) for value in np.unique(upper)))


def test_method_rows(collection):
    """Precision and recall count unordered pairs; wrong pairs of two untouched files are counted apart."""
    pairs = grouped({"groups": [{"ids": ["p0-grey", "p0-mirror", "p1-grey"]}, {"ids": ["u0", "u1"]}]}, NAMES)
    (cells,) = duplicate_edits.method_rows([Result("m", 0.5, pairs)], collection, collection.truth())
    assert cells == ["m", 0.5, 1 / 4, 1 / 4, pytest.approx(1 / 4), 3, 1]


def test_edit_rows(collection, monkeypatch):
    """The recall of an edit is the share of its copies that are found with their own original."""
    monkeypatch.setattr(duplicate_edits, "EDITS", {"grey": None})
    pairs = grouped({"groups": [{"ids": ["p0-grey", "p0-original"]}, {"ids": ["p1-grey", "u0"]}]}, NAMES)
    assert list(duplicate_edits.edit_rows([Result("m", 0.5, pairs)], collection)) == [["grey", 0.5]]


def test_kind_rows(collection):
    """Kinds are counted where the original is kept: those named rightly, those with others beside, and the names."""
    members = [{"id": "p0-grey", "kind": "grey+cropped"}, {"id": "p0-mirror", "kind": "mirrored"}]
    groups = [
        {"keep": "p0-original", "members": members},
        {"keep": "p1-original", "members": [{"id": "p1-grey", "kind": "grey"}, {"id": "u0", "kind": "turned"}]},
        {"keep": "p1-grey", "members": [{"id": "p0-grey", "kind": "turned"}]},
    ]
    rows = {row[1]: row[2:] for row in duplicate_edits.kind_rows({"b": {"groups": groups}}, collection)}
    assert rows["grey"] == ["grey", 2, 0.5, 1.0, "grey+cropped 1, grey 1"]
    assert rows["mirror"] == ["mirrored", 1, 1.0, 1.0, "mirrored 1"]
    assert rows["half size"] == ["re-encoded", 0, "", "", ""]


def test_kept(collection):
    """The images that groups keep are counted by their edits, the most frequent first."""
    document = {"groups": [{"keep": name} for name in ("p0-grey", "u1", "p0-original", "p1-original")]}
    assert duplicate_edits.kept(document, collection) == "original 2, grey 1, untouched 1"

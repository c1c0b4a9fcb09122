import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import Neighbourhood, audit_labels

NAMES = ["cat", "dog", "sky"]


@pytest.fixture
def audited(table, tmp_path):
    """A function that audits 200 rows whose lists were altered by a function; the findings, and the document."""

    def audit(alter, *, groups=None):
        generator = np.random.default_rng(0)
        embeddings = generator.normal(size=(200, 8)).astype("f4")
        has_label = embeddings[:, :3] > [0, 0.5, 1]
        lists = [[NAMES[code] for code in np.flatnonzero(row)] for row in has_label]
        alter(lists)
        features = table([f"{row:03d}.jpg" for row in range(200)], [None] * 200, embeddings)
        column = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
        features = features.with_label_lists(column, labels_from={"column": "tags"})
        rows = np.tile(np.arange(10), (200, 1))
        near = Neighbourhood(np.full(200, -1) if groups is None else groups, rows, np.ones((200, 10), "f4"))
        document = audit_labels(features, tmp_path / "f.parquet", near=near)
        return pq.read_table(tmp_path / "f.parquet").to_pylist(), document

    return audit


def pairs(findings, kind):
    """Return the image and the label of each finding of a kind, in their order."""
    name = {"missing_label": "suggested"}.get(kind, "label")
    return [(one["id"], one[name]) for one in findings if one["kind"] == kind]


def test_labels_that_were_taken_away_and_added_come_first(audited):
    """Of ten labels taken from lists, and ten added, most are among the first fifteen findings of their kind."""
    removed, added = set(), set()

    def alter(lists):
        for row in range(0, 200, 2):
            if "cat" in lists[row] and len(removed) < 10:
                lists[row].remove("cat")
                removed.add((f"{row:03d}.jpg", "cat"))
            elif "dog" not in lists[row] and len(added) < 10:
                lists[row].append("dog")
                added.add((f"{row:03d}.jpg", "dog"))

    findings, document = audited(alter)
    assert len(removed & set(pairs(findings, "missing_label")[:15])) >= 6
    assert len(added & set(pairs(findings, "wrong_label")[:15])) >= 6
    assert document["n_judged"] == 200
    assert document["map"] > 0.7
    assert (document["accuracy"], document["cost"]) == (None, None)


def test_what_a_finding_says(audited):
    """A missing label is suggested beside the whole list, a wrong one named alone; both have probability and odds."""
    findings, _ = audited(lambda lists: lists[3].append("sky"))
    missing = [one for one in findings if one["kind"] == "missing_label"]
    wrong = [one for one in findings if one["kind"] == "wrong_label"]
    assert all(one["suggested"] not in one["label"].split(", ") for one in missing)
    assert all((one["label"] in NAMES, one["suggested"]) == (True, None) for one in wrong)
    assert all(one["score"] == pytest.approx(one["probability"]) and one["probability"] > 0.5 for one in missing)
    assert all(one["score"] == pytest.approx(1 - one["probability"]) and one["probability"] < 0.5 for one in wrong)
    for ordered in (missing, wrong):
        odds = [one["log_odds"] for one in ordered]
        assert odds == sorted(odds, reverse=True)
        assert odds == pytest.approx([np.log(one["score"] / (1 - one["score"])) for one in ordered], rel=1e-3)


def test_rare_labels_are_listed_and_not_judged(audited):
    """A label on four images is small: each of them is named, and the label is neither missing nor wrong anywhere."""
    findings, document = audited(lambda lists: [lists[row].append("moon") for row in range(4)])
    assert pairs(findings, "small_class") == [(f"{row:03d}.jpg", "moon") for row in range(4)]
    assert document["small_classes"] == {"moon": 4}
    assert not [
        pair for kind in ("missing_label", "wrong_label") for pair in pairs(findings, kind) if pair[1] == "moon"
    ]


def test_near_duplicates_with_other_lists(audited):
    """Near-duplicates whose lists differ are a finding of each; equal lists in another order are none."""

    def alter(lists):
        lists[0], lists[1], lists[2], lists[3] = ["cat", "dog"], ["dog", "cat"], ["sky"], []

    findings, _ = audited(alter, groups=np.array([0, 0, 1, 1, *[-1] * 196]))
    lists = {one["id"]: one["label"] for one in findings if one["kind"] == "duplicate_labels"}
    assert lists == {"002.jpg": "sky", "003.jpg": ""}


def test_too_few_to_judge(audited):
    """Lists with no label on five images are not judged, and nothing fails."""

    def alter(lists):
        lists[:] = [["x"] if row < 4 else [] for row in range(200)]

    findings, document = audited(alter)
    assert (document["n_judged"], document["map"]) == (0, None)
    assert {one["kind"] for one in findings} <= {"small_class", "outlier"}

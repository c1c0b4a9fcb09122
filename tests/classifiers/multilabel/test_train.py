import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from frieze.classifiers import SplitConfig, open_head, open_multilabel_head
from frieze.classifiers.multilabel.examples import multilabel_rows
from frieze.core import FeatureFileError, InputError, unit_rows


def read_split(head, features):
    """Return the unit vectors and labels of the training rows, and of the held-out ones."""
    labelled = multilabel_rows(features.rows)
    split = pq.read_table(head / "split.parquet")
    parts = dict(zip(split["id"].to_pylist(), split["part"].to_pylist(), strict=True))
    is_test = np.array([parts[name] == "test" for name in labelled.examples.ids])
    vectors = unit_rows(features.embeddings())[labelled.examples.rows]
    return [(vectors[rows], labelled.has_label[rows]) for rows in (~is_test, is_test)]


@pytest.mark.parametrize("head", ["linear", "svm"])
def test_like_scikit_learns_one_vs_rest(listed, train_listed, head):
    """With the same C on the same rows the mean average precision is that of OneVsRestClassifier."""
    features = listed()
    folder, document = train_listed(features, head)
    (vectors, has_label), (held_out, expected) = read_split(folder, features)
    cost = document["setting"]["C"]
    model = {"linear": LogisticRegression(C=cost, max_iter=1000), "svm": LinearSVC(C=cost)}[head]
    judge = OneVsRestClassifier(model).fit(vectors, has_label)
    theirs = average_precision_score(expected, judge.decision_function(held_out))
    assert document["map"] == pytest.approx(theirs, abs=0.005)
    low, high = document["map_interval"]
    assert low < document["map"] < high
    assert document["map"] > document["baseline_map"] + 0.2
    assert document["multilabel"] is True


def test_the_stored_head_is_the_one_that_was_scored(listed, train_listed):
    """The folder gives the probabilities that the figures are of, for embeddings of any length."""
    features = listed()
    folder, document = train_listed(features)
    head = open_multilabel_head(folder)
    _, (held_out, expected) = read_split(folder, features)
    probabilities = head.probabilities(3 * held_out)
    assert average_precision_score(expected, probabilities) == pytest.approx(document["map"])
    assert head.classes.tolist() == document["classes"] == ["cat", "dog", "sky"]
    predicted = head.predict(held_out)
    for labels, row in zip(predicted, probabilities, strict=True):
        order = np.argsort(-row)
        assert labels == [head.classes[code] for code in order if row[code] >= head.thresholds[code]]
    share = (probabilities.mean(axis=0), expected.mean(axis=0))
    assert share[0] == pytest.approx(share[1], abs=0.12)


def test_any_order_of_the_table_gives_the_same_head(listed, train_listed):
    """A head does not depend on the order of its rows."""
    features = listed()
    folder, document = train_listed(features)
    reversed_rows = features.rows.take(list(range(len(features)))[::-1])
    assert multilabel_rows(reversed_rows).has_label.tolist() == multilabel_rows(features.rows).has_label.tolist()
    second, same = train_listed(features, out="second.head")
    assert same["map"] == document["map"]
    assert (second / "weights.npz").read_bytes() == (folder / "weights.npz").read_bytes()


def test_each_label_is_on_both_sides(listed, train_listed):
    """Rows are stratified by their rarest label: each label is held out about as often as it is there."""
    features = listed()
    folder, _ = train_listed(features)
    (_, has_label), (_, held_out) = read_split(folder, features)
    shares = held_out.sum(axis=0) / (has_label.sum(axis=0) + held_out.sum(axis=0))
    assert shares == pytest.approx(np.full(3, 0.2), abs=0.08)


def test_labels_that_can_not_be_learned_are_left_out_and_said(listed, train_listed):
    """A label of one image, and one of all, are named in a note; the others are learned."""
    features = listed()
    lists = [
        [*(one or []), "photo", *(["rare"] if row == 7 else [])]
        for row, one in enumerate(features.rows["label"].to_pylist())
    ]
    column = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
    _, document = train_listed(features.with_label_lists(column, labels_from={"column": "tags"}))
    assert "photo" in document["left_out_classes"]
    assert {"cat", "dog", "sky"} <= set(document["classes"])
    assert any("are left out: photo" in note for note in document["notes"])
    assert "rare" in {*document["left_out_classes"], *document["untested_classes"]}


def test_a_memory_limit(listed, train_listed):
    """Rows read in passes give the same figures; a limit that can't be kept is told."""
    whole = train_listed(listed())[1]
    streamed = train_listed(listed(), memory_bytes=1_000_000, out="streamed.head")[1]
    assert streamed["map"] == pytest.approx(whole["map"], abs=0.01)
    assert not any("max-memory" in note for note in whole["notes"])
    assert any("--max-memory 1MB is less than the process takes" in note for note in streamed["notes"])


def test_a_single_label(listed, train_listed):
    """Lists of a single label train a head of it, with a row in the report."""
    lists = [None if one is None else ["cat"][: "cat" in one] for one in listed().rows["label"].to_pylist()]
    column = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
    folder, document = train_listed(listed().with_label_lists(column, labels_from={"column": "tags"}))
    assert document["classes"] == ["cat"]
    assert [one["class"] for one in json.loads((folder / "report.json").read_text())["per_class"]] == ["cat"]


def test_held_out_images_without_any_label(listed, train_listed, tmp_path):
    """Where no held-out image has a label, nothing can be measured: an error, and no head."""
    features = listed()
    lists = [[] if row < 40 else one for row, one in enumerate(features.rows["label"].to_pylist())]
    features = features.with_label_lists(pa.chunked_array([pa.array(lists, pa.list_(pa.string()))]), labels_from={})
    features.rows = features.rows.append_column("part", [["test"] * 40 + ["train"] * 200])
    with pytest.raises(InputError, match="None of the 40 held-out images has a label"):
        train_listed(features, split=SplitConfig(column="part"))
    assert not (tmp_path / "several.head").exists()


def test_rows_without_a_list_are_counted(listed, train_listed):
    """Rows whose labels are not known take no part and are counted."""
    _, document = train_listed(listed(unknown=range(40)))
    assert (document["n_unlabelled"], document["n_train"] + document["n_test"]) == (40, 200)


@pytest.mark.parametrize(
    ("options", "split", "match"),
    [
        ({"head": "knn"}, {}, "knn head takes one label"),
        ({"is_balanced": True}, {}, "`balanced` is for one label"),
        ({"precision": 0.9}, {}, "`abstain` is for one label"),
        ({"has_curve": True}, {}, "`learning_curve` is for one label"),
        ({}, {"shots": 2}, "`shots` is for one label"),
    ],
)
def test_options_of_single_labels_are_refused(listed, train_listed, options, split, match):
    """An option that only one label an image has is an error that names it."""
    with pytest.raises(InputError, match=match):
        train_listed(listed(), split=SplitConfig(**split), **options)


def test_the_two_kinds_of_heads_are_told_apart(listed, train_listed, trained):
    """Each kind is opened by its own function alone, and the other says what it is."""
    folder, _ = train_listed(listed())
    with pytest.raises(InputError, match="predicts several labels an image"):
        open_head(folder)
    with pytest.raises(InputError, match="predicts one label an image"):
        open_multilabel_head(trained["linear"])


@pytest.mark.parametrize("name", ["weights.npz", "familiarity.npz"])
def test_an_altered_file_is_refused(listed, train_listed, name):
    """A file that is not the stored one is an error, not another prediction."""
    folder, _ = train_listed(listed())
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"x")
    with pytest.raises(FeatureFileError, match=name):
        open_multilabel_head(folder)


def test_the_report_has_each_label(listed, train_listed):
    """report.json has the figures of each label, and mistakes beyond the thresholds."""
    folder, document = train_listed(listed())
    report = json.loads((folder / "report.json").read_text())
    assert [one["class"] for one in report["per_class"]] == document["classes"]
    assert np.mean([one["average_precision"] for one in report["per_class"]]) == pytest.approx(document["map"])
    thresholds = {one["class"]: one["threshold"] for one in report["per_class"]}
    assert report["mistakes"]
    for one in report["mistakes"]:
        assert (one["probability"] >= thresholds[one["label"]]) == one["is_predicted"]
    assert np.isfinite(logit(list(thresholds.values()))).all()

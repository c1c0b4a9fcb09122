"""Heads of class names in words, without training."""

import numpy as np
import pytest

import frieze
from frieze.core import InputError


def test_label(text_world, run_json, tmp_path):
    """A head of class names predicts them without training, is measured and calibrated where there are labels."""
    features, head = text_world / "text.features", tmp_path / "head"
    code, document = run_json("label", features, "--classes", "red,green,blue", "--out", head)
    assert (code, document["classes"], document["accuracy"]) == (0, ["blue", "green", "red"], 1.0)
    assert (document["n_train"], document["n_test"], document["is_calibrated"]) == (24, 6, True)
    assert frieze.evaluate(head, features)["accuracy"] == 1.0
    assert frieze.predict(head, features, out=tmp_path / "p.csv")["rows"] == 30
    assert (head / "report.html").exists()
    assert frieze.verify(head)["ok"]
    assert frieze.info(head)["zero_shot"]["templates"] == ["a photo of a {}."]


def test_other_labels(text_world, tmp_path):
    """Labels that are none of the classes, such as plurals, do not count, and are named."""
    document = frieze.label(text_world / "text.features", classes="red,green,blues", out=tmp_path / "head")
    (note,) = document["notes"]
    assert note == "10 images with labels that are none of these classes do not count: 'blue'."
    assert (document["n_unknown_label"], document["n_train"] + document["n_test"]) == (10, 20)


def test_calibrated_by_labels(text_world, tmp_path):
    """Labelled images set the scale of the probabilities: without a mistake, one in N + 2 is taken to be wrong."""
    frieze.label(text_world / "text.features", classes="red,green,blue", out=tmp_path / "head")
    vectors = frieze.open_features(text_world / "text.features").embeddings()
    _, probabilities = frieze.open_head(tmp_path / "head").predict(vectors)
    assert probabilities.mean() == pytest.approx(1 - 1 / (24 + 2), abs=0.03)  # 1.0 at the network's own scale


def test_label_without_labels(text_world, tmp_path):
    """Where no image has a label of the classes, the network's own logit scale makes the probabilities."""
    document = frieze.label(
        text_world / "text.features", classes=["red", "blue bird"], template=["{}", "the {}"], out=tmp_path / "head"
    )
    assert (document["accuracy"], document["is_calibrated"], document["logit_scale"]) == (None, False, 100.0)
    head, table = frieze.open_head(tmp_path / "head"), frieze.open_features(text_world / "text.features")
    vectors = table.embeddings()
    names, _ = head.predict(vectors)
    assert set(names[np.array(table.labels) == "blue"]) == {"blue bird"}
    assert head.staleness() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "red"}, "expected are two different names or more"),
        ({"classes": "red,red"}, "expected are two different names or more"),
        ({"classes": "red,blue", "template": "a photo"}, "has no place for a class's name"),
    ],
)
def test_label_refused(options, message, text_world, tmp_path):
    """Too few classes, and a template without a place for the name, are refused."""
    with pytest.raises(InputError, match=message):
        frieze.label(text_world / "text.features", out=tmp_path / "head", **options)


def test_training_takes_its_place(text_world, tmp_path):
    """`train` with `force` over such a head recalls nothing of it, for it was not trained with any options."""
    frieze.label(text_world / "text.features", classes="red,blue", out=tmp_path / "head")
    document = frieze.train(text_world / "text.features", out=tmp_path / "head", force=True)
    assert (document["remembered"], document["classes"]) == ({}, ["blue", "green", "red"])
    assert frieze.open_head(tmp_path / "head").document.get("zero_shot") is None


def test_training_goes_on_from_it(text_world, run_json, tmp_path):
    """`train --start-from` starts at the head of class names, says so, and a later `--force` remembers it."""
    features, start, out = text_world / "text.features", tmp_path / "start", tmp_path / "head"
    frieze.label(features, classes="red,green,blue", out=start)
    code, document = run_json("train", features, "--start-from", start, "--shots", 2, "--out", out)
    assert (code, document["start"]) == (0, {"head": str(start), "is_used": True})
    rerun = frieze.train(features, out=out, force=True)
    assert (rerun["remembered"]["start_from"], rerun["start"]["is_used"]) == (str(start), True)
    assert "start" not in frieze.train(features, out=out, head="svm", force=True)


def test_a_start_that_is_no_head(text_world, tmp_path):
    """The start is a head's folder."""
    features = text_world / "text.features"
    with pytest.raises(InputError, match=r"text\.features is"):
        frieze.train(features, out=tmp_path / "head", start_from=features)

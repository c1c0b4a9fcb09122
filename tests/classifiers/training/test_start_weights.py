import json

import numpy as np
import pytest

from frieze.classifiers import ClassVectors, HeadConfig, SplitConfig, make_zero_shot_head, open_start, train_head
from frieze.classifiers.config import StartWeights
from frieze.classifiers.training.fit import fit_head
from frieze.classifiers.training.notes import notes_on_folds
from frieze.core import InputError, MismatchError, unit_rows

CORNERS = ClassVectors(["ant", "bee", "cow"], np.eye(3, 8, dtype="f4"), ["{}"], 20.0)
"""Classes in words that point where the rows of `draw_points` lie."""


@pytest.fixture(scope="module")
def zero_shot(overlapping, tmp_path_factory):
    """The folder of a head of class names in words."""
    path = tmp_path_factory.mktemp("zero_shot") / "zero_shot.head"
    make_zero_shot_head(overlapping, path, CORNERS)
    return path


def train(table, folder, *, start=None, shots=None, seed=0):
    """Train a linear head, from a start or from zero."""
    config = HeadConfig("linear", start=start and open_start(start, table))
    return train_head(table, folder / "head", config=config, split_config=SplitConfig(shots=shots, seed=seed))


def test_names_help_with_few_shots(overlapping, zero_shot, tmp_path):
    """One image a class and the words know more than the image alone."""
    alone = train(overlapping, tmp_path / "alone", shots=1)
    started = train(overlapping, tmp_path / "started", start=zero_shot, shots=1)
    assert started["shots"]["mean_accuracy"] >= alone["shots"]["mean_accuracy"] + 0.05
    assert started["start"] == {"head": str(zero_shot), "is_used": True}
    assert "start" not in alone


def test_a_misleading_start_is_left_out(points):
    """Where the folds are better without the start, the head is the one fitted without it."""
    _, labels, embeddings = points(noise=0.3)
    rows, labels = unit_rows(embeddings), np.array(labels, dtype=object)
    wrong = StartWeights(None, np.unique(labels), -1e4 * np.eye(3, 8, dtype="f4"), np.zeros(3, "f4"))
    plain, _ = fit_head(HeadConfig("linear"), rows, labels)
    started, tuned = fit_head(HeadConfig("linear", start=wrong), rows, labels)
    assert not tuned.uses_start
    assert notes_on_folds(started, tuned)[0].endswith("without the weights to start from: they are left out.")
    assert np.array_equal(started.coef_and_intercept()[0], plain.coef_and_intercept()[0])


def test_start_is_stored_with_the_recipe(overlapping, zero_shot, tmp_path):
    """head.json holds the path, so that the head can be trained again."""
    train(overlapping, tmp_path, start=zero_shot)
    document = json.loads((tmp_path / "head" / "head.json").read_text())
    assert document["recipe"] == {"balanced": False, "start_from": str(zero_shot)}


def test_a_start_that_saw_the_held_out_images_is_refused(overlapping, tmp_path):
    """A head that was trained on images of the test part would inflate the accuracy."""
    train(overlapping, tmp_path, seed=1)
    with pytest.raises(InputError, match=r"was trained on \d+ images that this split holds out"):
        train(overlapping, tmp_path / "second", start=tmp_path / "head")
    assert train(overlapping, tmp_path / "third", start=tmp_path / "head", seed=1)["start"]["is_used"]


def test_a_start_without_a_class_is_refused(overlapping, table, points, tmp_path):
    """All classes need weights to start from."""
    make_zero_shot_head(
        overlapping, tmp_path / "two", ClassVectors(["ant", "bee"], np.eye(2, 8, dtype="f4"), ["{}"], 9.0)
    )
    with pytest.raises(InputError, match="does not know these classes: cow"):
        train(overlapping, tmp_path, start=tmp_path / "two")


def test_a_start_without_weights_is_refused(trained, separable):
    """Neighbours have no weights of classes."""
    with pytest.raises(InputError, match="is a head knn, which has no weights"):
        open_start(trained["knn"], separable)


def test_a_start_of_another_backbone_is_refused(zero_shot, table, points):
    """The weights belong to the vectors of one backbone."""
    with pytest.raises(MismatchError, match="cube"):
        open_start(zero_shot, table(*points(noise=0.1), fingerprint="e" * 64))


def test_only_linear_has_a_start():
    """Other kinds refuse it by name."""
    with pytest.raises(InputError, match="A svm head does not start from other weights"):
        HeadConfig("svm", start=StartWeights(None, np.array(["a", "b"]), np.eye(2), np.zeros(2)))

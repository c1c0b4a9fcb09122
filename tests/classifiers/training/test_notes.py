from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from frieze.classifiers import HEADS, HeadConfig, train_head
from frieze.classifiers.data.labelled_examples import labelled_rows
from frieze.classifiers.data.splits import SplitConfig
from frieze.classifiers.training.notes import notes_on_split, split_gaps


def train(features, tmp_path, *, head="linear", **split_config):
    """Train a head below tmp_path."""
    return train_head(features, tmp_path / "a.head", config=HeadConfig(head), split_config=SplitConfig(**split_config))


def one_group_a_class(points, table):
    """Return a table, and groups of its rows: all ants are of one group, the others on their own."""
    ids, labels, embeddings = points(noise=0.4)
    features = table(ids, labels, embeddings)
    groups = np.where(features.labels == "ant", 0, np.arange(1, 61))
    return features, groups


@pytest.mark.parametrize("head", ["linear", "svm", "ridge", "prototype"])
def test_a_class_in_one_group_leaves_the_probabilities_calibrated(points, table, tmp_path, head):
    """No fold can fit a class that lies in one group: its rows count for nothing, and the others are not told alike."""
    features, groups = one_group_a_class(points, table)
    actual = train(features, tmp_path, head=head, groups=lambda: groups)
    assert (actual["unjudged"], actual["untested_classes"]) == ({"ant": 20}, ["ant"])
    assert actual["expected_calibration_error"] < 0.3
    assert [note.split(":")[0] for note in actual["notes"]] == [
        "Training images left out of hyperparameter search and calibration",
        "Classes without a held-out image",
    ]


def test_without_folds_nothing_is_calibrated_and_a_note_is_written(points, table, tmp_path):
    """Two rows a class can't be held out by turns: the note says that setting and probabilities are the defaults."""
    ids, labels, embeddings = points(noise=0.1, n=3)
    actual = train(table(ids, labels, embeddings), tmp_path)
    assert actual["tried"] == []
    assert [note for note in actual["notes"] if "not calibrated" in note]


@pytest.mark.parametrize("head", HEADS)
def test_a_split_without_gaps_has_no_notes_on_it(trained, head):
    """Where each class is on both sides, fields are empty and nothing is said."""
    trained[head]
    actual = trained.results[head]
    assert (actual["unjudged"], actual["untested_classes"], actual["test_copies"], actual["similar_labels"]) == (
        {},
        [],
        0,
        [],
    )
    assert [note for note in actual["notes"] if "image" in note] == []


def test_equal_bytes_on_both_sides_are_noted(points, table, tmp_path):
    """Of held-out rows those are counted that have the bytes of a training row; unknown bytes are equal to nothing."""
    ids, labels, embeddings = points(noise=0.1)
    sha256 = [f"hash {row // 2}" if row < 40 else None for row in range(60)]
    actual = train(table(ids, labels, embeddings, sha256=sha256), tmp_path)
    assert 0 < actual["test_copies"] <= 8
    (note,) = actual["notes"]
    assert note.startswith(f"Held-out images with the same bytes as a training image: {actual['test_copies']}.")
    assert "--group duplicates" in note


def test_images_without_a_part_are_counted(points, table, tmp_path):
    """Rows whose cell in the split column is missing or empty are on neither side, and that is said."""
    ids, labels, embeddings = points(noise=0.1)
    features = table(ids, labels, embeddings)
    parts = [[None, "", "train", "test"][row % 4] for row in range(60)]
    rows = features.rows.append_column("part", pa.array(parts, pa.string()))
    split, _ = SplitConfig(column="part").split(SimpleNamespace(rows=rows), labelled_rows(rows))
    described = split_gaps(labelled_rows(rows), split)
    assert described["n_without_part"] == 30
    assert "left out: 30." in notes_on_split(described, split.method)[0]


def test_shots_that_are_not_drawn_lack_no_part(points, table, tmp_path):
    """Rows that --shots does not draw are no gap of the split."""
    ids, labels, embeddings = points(noise=0.1)
    assert train(table(ids, labels, embeddings), tmp_path, shots=5)["n_without_part"] == 0


def test_labels_that_look_alike_are_named(points, table, tmp_path):
    """Classes whose names differ in case or outer blanks only are named in pairs."""
    ids, labels, embeddings = points(noise=0.1)
    actual = train(table(ids, [*(["Cow "] * 5), *labels[5:]], embeddings), tmp_path)
    assert actual["similar_labels"] == [["Cow ", "cow"]]
    assert "'Cow ' and 'cow'" in actual["notes"][0]


@pytest.mark.parametrize(("size", "named"), [(5, ["The held-out images are of 2 groups"]), (1, [])])
def test_an_interval_over_few_groups_is_rough(points, table, tmp_path, size, named):
    """Where held-out rows come in few groups, a note says how many; not where each is a group of its own."""
    features = table(*points(noise=0.1))
    actual = train(features, tmp_path, groups=lambda: np.arange(60) // size, test_size=1 / 6)
    assert [note.partition(":")[0] for note in actual["notes"]][-1:] == named

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import HeadConfig, SplitConfig, evaluate_head, train_head
from frieze.classifiers.evaluation import evaluate as evaluation
from frieze.core import FeatureFileError, InputError, MismatchError, write_json

FIGURES = [
    "accuracy", "classes", "confidence_interval", "expected_calibration_error", "fit_seconds", "head", "macro_f1",
    "n_test", "n_train", "n_unlabelled",
]  # fmt: skip


def renamed(ids):
    """Return ids that no head was fitted on."""
    return [f"{name}.copy" for name in ids]


def test_training_table_gives_the_figures_of_training(doubtful, head):
    """On the table it was trained from, a head has exactly the figures of its held-out rows."""
    actual = evaluate_head(doubtful[head], doubtful.features)
    assert {name: actual[name] for name in FIGURES} == {name: doubtful.results[head][name] for name in FIGURES}
    assert (actual["rows"], actual["n_test"]) == ("held-out", 30)
    assert actual["note"].startswith("Scored on the 30 held-out rows; the 120 rows that the head was fitted on")


@pytest.mark.parametrize("by", ["a column", "numbers"])
def test_training_table_gives_the_intervals_of_training(table, points, tmp_path, by):
    """Of a head trained by groups, the intervals count the same groups, also those that only its split knows."""
    ids, labels, embeddings = points(noise=0.4)
    features = table(ids, labels, embeddings, sha256=[f"hash {row // 3}" for row in range(60)])
    config = SplitConfig(group="sha256") if by == "a column" else SplitConfig(groups=lambda: np.arange(60) // 3)
    expected = train_head(features, tmp_path / "head", config=HeadConfig("prototype"), split_config=config)
    actual = evaluate_head(tmp_path / "head", features)
    names = ("confidence_interval", "macro_f1_interval", "n_test_groups")
    assert {name: actual[name] for name in names} == {name: expected[name] for name in names}
    assert actual["interval_over"] == "groups"
    assert actual["note"].endswith("an interval over so few is rough.")


def test_groups_that_are_not_known_are_named(table, points, tmp_path):
    """Where the head was trained by a column that the table lacks, a note says that the interval counts images."""
    split_config = SplitConfig(groups=lambda: np.arange(60) // 3)
    features = table(*points(noise=0.4))
    train_head(features, tmp_path / "head", config=HeadConfig("prototype"), split_config=split_config)
    ids, labels, embeddings = points(noise=0.4, seed=9)
    actual = evaluate_head(tmp_path / "head", table(renamed(ids), labels, embeddings, name="other.features"))
    assert (actual["interval_over"], actual["n_test_groups"]) == ("images", None)
    assert actual["note"].endswith("The interval counts images, not groups: near-duplicates are not known here.")


def test_other_images_are_all_scored(doubtful, table, points):
    """Of a table of other images all rows count."""
    ids, labels, embeddings = points(noise=0.4, seed=9)
    actual = evaluate_head(doubtful["linear"], table(renamed(ids), labels, embeddings))
    assert (actual["rows"], actual["n_test"], actual["n_train"]) == ("all", 60, 120)
    assert actual["note"] == "Scored on all 60 rows; the head was fitted on none of them."


def test_accuracy_is_that_of_the_predictions(doubtful, table, points):
    """The accuracy is the share of rows whose predicted class is the label."""
    from frieze.classifiers import open_head

    ids, labels, embeddings = points(noise=0.4, seed=9)
    predicted, _ = open_head(doubtful["linear"]).predict(embeddings)
    actual = evaluate_head(doubtful["linear"], table(renamed(ids), labels, embeddings))
    assert actual["accuracy"] == np.mean(predicted == labels) < 1


@pytest.mark.parametrize(("hash_of", "n_test"), [("hash of {}", 12), ("another hash of {}", 60), (None, 12)])
def test_a_row_is_fitted_on_by_id_and_hash(trained, table, hash_of, n_test, points):
    """The same id with other bytes is another image; where the bytes are unknown the id alone decides."""
    ids, labels, embeddings = points(noise=0.1)
    sha256 = [hash_of and hash_of.format(name) for name in ids]
    actual = evaluate_head(trained["linear"], table(ids, labels, embeddings, sha256=sha256))
    assert actual["n_test"] == n_test


def test_labels_that_the_head_does_not_know_are_left_out(trained, table, points):
    """Rows of an unknown class are counted apart, not as wrong."""
    ids, labels, embeddings = points(noise=0.1)
    actual = evaluate_head(trained["linear"], table(renamed(ids), ["dog"] * 5 + labels[5:], embeddings))
    assert (actual["n_unknown_label"], actual["n_test"], actual["accuracy"]) == (5, 55, 1)
    assert actual["unknown_labels"] == {"dog": 5}
    known = "the head's classes are 'ant', 'bee', 'cow'."
    assert actual["note"].endswith(f"5 rows with a label that the head does not know are left out: 'dog'; {known}")


def test_the_bytes_of_a_fitted_image_are_known_under_any_name(trained, table, points):
    """Renamed copies of the images that the head was fitted on are left out and counted, those held out are scored."""
    ids, labels, embeddings = points(noise=0.1)
    sha256 = [f"hash of {name}" for name in ids]
    actual = evaluate_head(trained["linear"], table(renamed(ids), labels, embeddings, sha256=sha256))
    assert (actual["n_test"], actual["n_copies"], actual["rows"]) == (12, 48, "held-out")
    assert actual["note"] == (
        "Scored on the 12 held-out rows; 48 rows with the same bytes as an image that it was fitted on are left out."
    )


@pytest.mark.parametrize("label", ["COW", " cow", "cow "])
def test_a_misspelt_label_is_named(trained, table, points, label):
    """Labels that differ from a class in case or blanks alone are named with it, and so is what to do."""
    ids, _, embeddings = points(noise=0.1)
    with pytest.raises(InputError, match=re.escape(f"{label!r} (not 'cow')")) as caught:
        evaluate_head(trained["linear"], table(renamed(ids), [label] * 60, embeddings))
    assert "`labels='FILE'`" in caught.value.hint


def test_rows_without_a_label_are_counted(trained, table, points):
    """Rows without a label are left out and counted."""
    ids, labels, embeddings = points(noise=0.1)
    actual = evaluate_head(trained["linear"], table(renamed(ids), [None] * 5 + labels[5:], embeddings))
    assert (actual["n_unlabelled"], actual["n_test"]) == (5, 55)


def test_no_row_to_score_is_refused(trained, table, points):
    """When every label is unknown, the message says why nothing is left."""
    ids, _, embeddings = points(noise=0.1)
    with pytest.raises(InputError, match="60 rows with a label that the head does not know") as caught:
        evaluate_head(trained["linear"], table(renamed(ids), ["dog"] * 60, embeddings))
    assert "frieze embed" in caught.value.hint


def test_no_label_at_all_is_refused(trained, table, points):
    """A table without labels can't be scored."""
    ids, _, embeddings = points(noise=0.1)
    with pytest.raises(InputError, match="None of the 60 rows has a label"):
        evaluate_head(trained["linear"], table(ids, [None] * 60, embeddings))


def test_another_backbone_is_refused(trained, table, points):
    """A table of another backbone is refused; the message names both and what to type."""
    other = table(*points(noise=0.1), fingerprint="0" * 64)
    with pytest.raises(MismatchError, match=r"fingerprint: 0000.* here, ffff.* there") as caught:
        evaluate_head(trained["linear"], other)
    assert "frieze embed SOURCE --backbone builtin" in caught.value.hint


def test_a_head_without_its_split_is_refused(copied, separable):
    """Without split.parquet nobody knows which rows are held out."""
    path = copied("linear")
    for spoil in (Path.unlink, lambda file: pq.write_table(pa.table({"id": ["a"]}), file)):
        spoil(path / "split.parquet")
        with pytest.raises(FeatureFileError, match=r"split\.parquet (can't be read|is not the file that was stored)"):
            evaluate_head(path, separable)


def test_a_head_that_lists_no_files_is_refused_without_its_split(copied, separable):
    """An older head has no hash of its split: one that is no table of parts is refused all the same."""
    path = copied("linear")
    document = json.loads((path / "head.json").read_text())
    write_json(path / "head.json", {name: document[name] for name in document if name not in ("files", "sha256")})
    for spoil in (lambda file: file.write_bytes(b"PAR1"), lambda file: pq.write_table(pa.table({"id": ["a"]}), file)):
        spoil(path / "split.parquet")
        with pytest.raises(FeatureFileError, match=r"split\.parquet can't be used"):
            evaluate_head(path, separable)


def test_a_head_that_is_retrained_meanwhile(copied, separable, monkeypatch):
    """A head that another one replaces between reading its model and its split is read again, both."""
    path, read = copied("prototype"), evaluation.read_split

    def train_and_read(place):
        monkeypatch.undo()
        train_head(separable, path, config=HeadConfig("linear"), split_config=SplitConfig(test_size=0.5), force=True)
        return read(place)

    monkeypatch.setattr(evaluation, "read_split", train_and_read)
    actual = evaluate_head(path, separable)
    assert (actual["head"], actual["n_test"]) == ("linear", evaluate_head(path, separable)["n_test"])

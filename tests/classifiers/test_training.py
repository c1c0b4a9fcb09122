import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from classifiers import train_head
from features import FeatureFileError, InputError


def read(path):
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder):
    """Give the bytes of each file by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_result_has_the_fields_of_the_command(trained):
    """The result is the JSON document of `frieze train`."""
    trained["linear"]
    assert sorted(trained.results["linear"]) == [
        "accuracy", "classes", "confidence_interval", "expected_calibration_error", "fit_seconds", "head", "macro_f1",
        "n_test", "n_train", "n_unlabelled", "out", "seconds",
    ]  # fmt: skip
    assert trained.results["linear"]["classes"] == ["ant", "bee", "cow"]


def test_fit_is_part_of_all_seconds(trained, head):
    """The last fit alone takes less than all."""
    trained[head]
    assert 0 < trained.results[head]["fit_seconds"] < trained.results[head]["seconds"]


def test_a_fifth_of_each_class_is_held_out(trained):
    """Of three classes of 20 rows, 16 are trained on and 4 held out, and split.parquet names them with their hashes."""
    split = pq.read_table(trained["linear"] / "split.parquet").to_pylist()
    held_out = [row["id"].split("/")[0] for row in split if row["part"] == "test"]
    assert sorted(held_out) == ["ant"] * 4 + ["bee"] * 4 + ["cow"] * 4
    assert [row["part"] for row in split].count("train") == trained.results["linear"]["n_train"] == 48
    assert split[0]["sha256"] == "hash of ant/000.jpg"


def test_head_json_tells_where_the_head_comes_from(trained, separable):
    """Backbone, table and its generation, split and figures stand in head.json."""
    document = read(trained["linear"] / "head.json")
    assert (document["contract"], document["kind"], document["head"]) == (1, "head", "linear")
    assert document["backbone"] == separable.spec.to_json()
    assert document["features"] == {"path": str(separable.path), "generation": separable.manifest.generation}
    assert document["split"] == {"method": "stratified", "test_size": 0.2, "seed": 0, "n_train": 48, "n_test": 12}
    assert document["scores"] | {"out": str(trained["linear"])} == trained.results["linear"]


@pytest.mark.parametrize(("head", "library"), [("linear", "skops"), ("svm", "scikit-learn"), ("keras", "tensorflow")])
def test_head_json_names_the_versions(trained, head, library):
    """The versions of what fitted and stored the head are kept, those of other libraries are not."""
    from importlib.metadata import version

    versions = read(trained[head] / "head.json")["versions"]
    assert versions[library] == version(library)
    assert versions["frieze"] == version("frieze")
    assert ("keras" in versions) == (head == "keras")


def test_report_adds_confusion_and_mistakes_to_the_figures(doubtful):
    """report.json holds the figures, and its mistakes are what the confusion matrix has off its diagonal."""
    found = read(doubtful["linear"] / "report.json")
    assert found["accuracy"] == doubtful.results["linear"]["accuracy"] < 1
    assert np.trace(found["confusion"]) == round(found["accuracy"] * 30)
    assert len(found["mistakes"]) == 30 - np.trace(found["confusion"])
    assert [row["n_test"] for row in found["per_class"]] == [10, 10, 10]


def test_rows_without_a_label_are_left_out(table, tmp_path, points):
    """Rows without a label are counted and neither trained on nor tested."""
    ids, labels, embeddings = points(noise=0.1)
    found = train_head(table(ids, [None, None, *labels[2:]], embeddings), tmp_path / "head")
    assert (found["n_unlabelled"], found["n_train"] + found["n_test"]) == (2, 58)


def test_order_of_the_table_does_not_matter(table, tmp_path, doubtful, points):
    """A table whose rows stand in another order gives the same split and the same figures."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    shuffled = np.random.default_rng(5).permutation(150)
    turned = table([ids[row] for row in shuffled], [labels[row] for row in shuffled], embeddings[shuffled])
    found = train_head(turned, tmp_path / "head")
    split = pq.read_table(tmp_path / "head" / "split.parquet")
    assert split.equals(pq.read_table(doubtful["linear"] / "split.parquet"))
    untimed = {"seconds": 0, "fit_seconds": 0, "out": ""}
    assert found | untimed == doubtful.results["linear"] | untimed


def test_another_thing_is_never_overwritten(separable, tmp_path):
    """Without force a folder that is there stays as it is."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FeatureFileError, match="is there already") as caught:
        train_head(separable, tmp_path)
    assert "--force" in caught.value.mend
    assert contents(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("name", ["notes.txt", "features.json", "head.json"])
def test_force_replaces_heads_only(separable, tmp_path, name):
    """Even with force a folder that holds no head stays as it is."""
    (tmp_path / name).write_text('{"kind": "features"}', encoding="utf-8")
    with pytest.raises(FeatureFileError, match="holds no head"):
        train_head(separable, tmp_path, force=True)
    assert contents(tmp_path) == {name: b'{"kind": "features"}'}


def test_force_replaces_a_head(separable, copied):
    """With force a head gives way to the new one, and nothing of the old one stays."""
    path = copied("linear")
    (path / "report.html").write_text("old", encoding="utf-8")
    train_head(separable, path, head="svm", force=True)
    assert read(path / "head.json")["head"] == "svm"
    assert sorted(contents(path)) == ["head.json", "head.skops", "report.json", "split.parquet"]


def test_a_failed_training_leaves_nothing(separable, tmp_path, monkeypatch):
    """When writing breaks off, there is no folder, and none half written beside it."""

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("classifiers.training.write_split", refuse)
    with pytest.raises(FeatureFileError, match="No space left"):
        train_head(separable, tmp_path / "head")
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_refused_before_anything_is_read(separable, tmp_path):
    """An unknown kind of head is an error that the user can mend."""
    with pytest.raises(InputError, match="Unknown head: forest"):
        train_head(separable, tmp_path / "head", head="forest")


def test_linear_never_imports_tensorflow(separable, tmp_path):
    """Training, evaluating and predicting with a linear head need no TensorFlow and no Keras."""
    code = f"""if True:
        import sys
        from pathlib import Path
        from classifiers import evaluate_head, predict_features, train_head
        from features import open_features
        table, out = open_features({str(separable.path)!r}), Path({str(tmp_path)!r})
        train_head(table, out / "head")
        evaluate_head(out / "head", table)
        predict_features(out / "head", table, out / "p.parquet")
        print(sorted({{"tensorflow", "keras"}} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

import collections
import dataclasses
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from frieze.classifiers import HEADS, HeadConfig, SplitConfig, open_head, read_labels_from, train_head
from frieze.classifiers.storage import head_folder as storage
from frieze.classifiers.storage import head_json
from frieze.classifiers.storage.head_json import hash_names
from frieze.core import FeatureFileError, MismatchError, hash_file, write_json, write_with_checksums


class Bomb:
    """A pickle that writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def read(folder):
    """Read head.json."""
    return json.loads((folder / "head.json").read_text(encoding="utf-8"))


def change(folder, **fields):
    """Change some fields of head.json, as if training had written them."""
    known = {name: value for name, value in read(folder).items() if name not in ("files", "sha256")}
    write_with_checksums(folder, "head.json", known | fields)


def forge(folder, file):
    """Write the checksums of the present classes and file to head.json."""
    hashes = {"sha256": hash_file(file), "classes_sha256": hash_names(read(folder)["classes"])}
    change(folder, model={"file": file.name, **hashes})


def load_model(path):
    """Open a head, and load its model, which a linear head needs only to be trained further or exported."""
    return open_head(path).classifier


def test_open_head_has_spec_and_classes(trained, separable, head):
    """A head knows its backbone and its classes."""
    opened = open_head(str(trained[head]))
    assert opened.spec == separable.spec
    assert opened.classes.tolist() == ["ant", "bee", "cow"]
    assert opened.document["head"] == head


def test_predict_gives_the_likeliest_class(doubtful):
    """The label is the class of the largest probability, and the probability is that one."""
    opened, embeddings = open_head(doubtful["linear"]), doubtful.features.embeddings()
    labels, probabilities = opened.predict(embeddings)
    every = opened.probabilities(embeddings)
    assert labels.tolist() == opened.classes[every.argmax(1)].tolist()
    assert np.array_equal(probabilities, every.max(1))
    assert (labels.dtype, probabilities.dtype) == (object, np.float32)


def test_no_rows_give_no_predictions(trained, head):
    """Nothing asked, nothing said: [0, 3] probabilities."""
    assert open_head(trained[head]).probabilities(np.empty((0, 8), "f4")).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 7), (8,)])
def test_another_width_is_refused(trained, shape):
    """Embeddings of another width are refused with what to type."""
    with pytest.raises(MismatchError, match=r"the head takes \[N, 8\]") as caught:
        open_head(trained["linear"]).predict(np.zeros(shape, "f4"))
    assert "--backbone builtin" in caught.value.hint


def test_hint_makes_the_same_table(separable):
    """The command in a refusal names all that makes embeddings others: size, fit, views and precision, too."""
    known = dataclasses.replace(separable.spec, handle="net.onnx", image_size=(64, 96), fit="crop", precision="int8")
    hint = storage._embed_with(dataclasses.replace(known, views="flip", pixels="torch"))
    options = "--backbone net.onnx --views flip --fit crop --precision int8 --image-size 64x96 --pixels torch"
    assert hint == f"Embed the images with: frieze embed SOURCE {options} --out FEATURES"
    square = dataclasses.replace(known, image_size=(64, 64), fit="squash", precision="float32")
    assert "--backbone net.onnx --image-size 64 --pixels" in storage._embed_with(square)


def test_no_head_is_refused(tmp_path):
    """Where there is no head, the message says how to make one."""
    with pytest.raises(FeatureFileError, match="There is no") as caught:
        open_head(tmp_path)
    assert "frieze train" in caught.value.hint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "features"}, "is of kind features, not head"),
        ({"contract": "1"}, "its contract is missing or of another type"),
        ({"contract": 0}, "there is no contract 0"),
        ({"head": ["linear"]}, "its head is missing or of another type"),
        ({"backbone": {}}, "its backbone.name is missing or of another type"),
        ({"model": None}, "its model is missing or of another type"),
        ({"scores": None}, "its scores is missing or of another type"),
        ({"scores": {"n_train": 48}}, "its scores.fit_seconds is missing or of another type"),
        ({"split": {"test_size": 0.2, "seed": -1}}, "its split.seed is not between 0"),
        ({"split": {"test_size": 0.2, "seed": True}}, "its split.seed is missing or of another type"),
        ({"features": []}, "its features is missing or of another type"),
        ({"labels": "kind"}, "its labels is missing or of another type"),
        ({"labels": {"file": "a.csv"}}, "its labels.column is missing or of another type"),
        ({"labels": {"file": 7, "column": "kind"}}, "its labels.file is missing or of another type"),
        ({"recipe": []}, "its recipe is missing or of another type"),
        ({"classes": "ant"}, "its classes is missing or of another type"),
        ({"classes": [1, 2, 3]}, "its classes is missing or of another type"),
        ({"classes": ["cow", "bee", "ant"]}, "its classes are not those that were stored"),
        ({"classes": ["art", "bee", "cow"]}, "its classes are not those that were stored"),
    ],
)
def test_a_broken_head_json_is_refused(copied, fields, message):
    """A head.json that is not what training wrote is refused."""
    path = copied("linear")
    change(path, **fields)
    with pytest.raises(FeatureFileError, match=message) as caught:
        open_head(path)
    assert "frieze train" in caught.value.hint


@pytest.mark.parametrize(
    "field",
    ["name", "handle", "fingerprint", "dim", "image_size", "fit", "pixels", "layer", "weights", "precision"],
)
def test_a_spoilt_backbone_is_refused(copied, field):
    """Each part of the backbone has its type."""
    path = copied("linear")
    change(path, backbone=read(path)["backbone"] | {field: ["8"]})
    with pytest.raises(FeatureFileError, match=f"its backbone.{field} is missing or of another type"):
        open_head(path)


@pytest.mark.parametrize("fields", [{"contract": 2}, {"contract": 2, "head": None}, {"head": "forest"}])
def test_a_later_head_asks_for_an_upgrade(copied, fields):
    """A later contract, whatever its form, or a kind of head that is not known yet is for a later version."""
    path = copied("linear")
    change(path, **fields)
    with pytest.raises(
        FeatureFileError, match="this version reads linear, svm, svm-rbf, ridge, knn, prototype, keras of contract 1"
    ) as caught:
        open_head(path)
    assert caught.value.hint == "Upgrade with: pip install --upgrade frieze"


def test_a_head_may_stand_below_a_colon(trained, tmp_path, monkeypatch):
    """A relative path that looks like a URL to pyarrow is a path."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained["linear"], tmp_path / "a:b" / "head")
    assert open_head("a:b/head").path == tmp_path / "a:b" / "head"


def test_an_unchanged_table_makes_no_head_stale(trained):
    """Nothing is said while the table is the one that was trained on."""
    assert open_head(trained["linear"]).staleness() is None


def test_a_changed_table_makes_a_head_stale(table, tmp_path, points):
    """A table of another generation at the same path is reported, with the command to retrain."""
    train_head(table(*points(noise=0.1)), tmp_path / "my head", split_config=SplitConfig(test_size=0.5, seed=3))
    shutil.rmtree(tmp_path / "new.features")
    table(*points(noise=0.1, seed=1))
    command = f"frieze train {tmp_path}/new.features --out '{tmp_path}/my head' --head linear --test-size 0.5 --seed 3"
    message = open_head(tmp_path / "my head").staleness()
    assert "has changed since" in message
    assert message.endswith(f"Train again with: {command} --force")


LABELS = [None, {"column": "the kind"}, {"file": "/a b/l.csv", "column": "kind"}]


@pytest.mark.parametrize("labels", LABELS)
def test_a_head_tells_where_its_labels_came_from(labels, separable, tmp_path):
    """A column, or a file and its column, is noted in head.json and read from there; stored labels are not noted."""
    features = separable.with_labels(separable.labels, labels_from=labels) if labels else separable
    train_head(features, tmp_path / "head", config=HeadConfig("prototype"))
    assert read_labels_from(tmp_path / "head") == read(tmp_path / "head").get("labels") == labels


def test_an_old_head_is_read(copied):
    """A head.json without `labels` and `recipe` is whole: its labels were the table's own."""
    path = copied("linear")
    later = ("recipe", "files", "sha256")
    write_json(path / "head.json", {name: value for name, value in read(path).items() if name not in later})
    assert open_head(path).staleness() is None
    assert "labels" not in read(path)
    assert read_labels_from(path) is None


@pytest.mark.parametrize("content", [None, "{"])
def test_a_missing_table_makes_no_head_stale(table, tmp_path, points, content):
    """Where the table is gone or can't be read, nothing is known, and nothing is said."""
    train_head(table(*points(noise=0.1)), tmp_path / "head")
    (tmp_path / "new.features" / "features.json").unlink()
    if content:
        (tmp_path / "new.features" / "features.json").write_text(content, encoding="utf-8")
    assert open_head(tmp_path / "head").staleness() is None


def test_a_missing_model_is_refused(copied, head):
    """Without its model a folder is no head."""
    path = copied(head)
    for file in path.glob("head.[sk]*s"):
        file.unlink()
    with pytest.raises(FeatureFileError, match="can't be used"):
        open_head(path)


def test_an_altered_model_is_refused(copied, head):
    """A model whose bytes are not those that were stored is refused before it is read."""
    path = copied(head)
    file = next(path.glob("head.[sk]*s"))
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(FeatureFileError, match="it is not the file that was stored"):
        open_head(path)


def test_a_truncated_model_is_refused(copied, head):
    """A model that breaks off is refused, also when head.json vouches for it."""
    path = copied(head)
    file = next(path.glob("head.[sk]*s"))
    file.write_bytes(file.read_bytes()[:-200])
    forge(path, file)
    with pytest.raises(FeatureFileError, match="can't be used"):
        load_model(path)


def test_a_pickle_is_never_run(copied, tmp_path, head):
    """A pickle under the name of a model is refused, and what it would do is not done."""
    path = copied(head)
    file = next(path.glob("head.[sk]*s"))
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "run")))
    forge(path, file)
    with pytest.raises(FeatureFileError, match="can't be used"):
        load_model(path)
    assert not (tmp_path / "run").exists()


def test_an_unknown_type_is_refused(copied):
    """A skops file with a type that skops does not trust is refused."""
    import skops.io

    path = copied("linear")
    skops.io.dump(collections.Counter(ant=1), path / "head.skops")
    forge(path, path / "head.skops")
    with pytest.raises(FeatureFileError, match="Counter"):
        load_model(path)


def test_another_model_is_refused(copied):
    """A skops file with a model of another kind is refused, though skops trusts it."""
    import skops.io
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    path = copied("linear")
    skops.io.dump(make_pipeline(Ridge().fit(np.eye(8), np.eye(8))), path / "head.skops")
    forge(path, path / "head.skops")
    with pytest.raises(FeatureFileError, match="it holds another model"):
        load_model(path)


def test_a_lambda_layer_is_refused(copied, tmp_path):
    """A .keras file with a layer of Python code is refused, and the code is not run."""
    import keras

    path, marker = copied("keras"), tmp_path / "run"
    run = marker.touch
    layer = keras.layers.Lambda(lambda x: (run(), x)[1])
    keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(3)]).save(path / "head.keras")
    marker.unlink()
    forge(path, path / "head.keras")
    with pytest.raises(FeatureFileError, match="it describes another network"):
        open_head(path)
    assert not marker.exists()


def test_a_description_is_never_built(copied, tmp_path):
    """A layer class from another module under a known name is refused before anything is imported."""
    path = copied("keras")
    before = shutil.move(path / "head.keras", tmp_path / "before.keras")
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(path / "head.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(
                name, content.replace(b'"keras.layers"', b'"antigravity"') if name == "config.json" else content
            )
    forge(path, path / "head.keras")
    with pytest.raises(FeatureFileError, match="it describes another network"):
        open_head(path)


def test_a_model_of_other_classes_is_refused(copied):
    """A model for three classes is refused under the names of two."""
    path = copied("linear")
    change(path, classes=["ant", "bee"])
    forge(path, path / "head.skops")
    with pytest.raises(FeatureFileError, match=r"for another width or other classes|weights of another head"):
        load_model(path)


def test_weights_of_another_shape_are_refused(copied):
    """Weights for other classes than head.json names are refused."""
    path = copied("keras")
    change(path, classes=["ant", "bee"])
    forge(path, path / "head.keras")
    with pytest.raises(FeatureFileError, match="can't be used"):
        open_head(path)


def test_opening_while_it_is_replaced(copied, separable, monkeypatch):
    """A head that another one replaces after head.json was read is opened again: the new one, whole."""
    path, read = copied("prototype"), head_json.read_head_json

    def read_and_train(place):
        monkeypatch.undo()
        document = read(place)
        train_head(separable, path, config=HeadConfig("linear"), force=True)
        return document

    monkeypatch.setattr(storage, "read_head_json", read_and_train)
    assert open_head(path).document["head"] == "linear"


LINEAR = ("linear", "svm", "ridge", "prototype")


@pytest.mark.parametrize("head", LINEAR)
def test_weights_predict_like_the_model(trained, head):
    """The stored weights give the model's own probabilities to the bit, for vectors of any length."""
    opened, embeddings = open_head(trained[head]), trained.features.embeddings() * np.float32(7)
    embeddings[0], embeddings[1] = 0, 1e-9
    assert np.array_equal(opened.probabilities(embeddings), opened.classifier.probabilities(embeddings))


def test_weights_are_plain_arrays(trained):
    """Other tools read the weights with NumPy alone: [C, D] and [C], for unit vectors."""
    with np.load(trained["linear"] / "weights.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {"coef": (3, 8), "intercept": (3,)}


def test_only_linear_heads_have_weights(trained):
    """Heads that are no linear function have no such file."""
    assert [head for head in HEADS if (trained[head] / "weights.npz").exists()] == [
        one for one in HEADS if one in LINEAR
    ]


def test_altered_weights_are_refused(copied):
    """A flipped bit of the weights is found before they predict anything."""
    file = copied("linear") / "weights.npz"
    data = bytearray(file.read_bytes())
    data[-300] ^= 1
    file.write_bytes(data)
    with pytest.raises(FeatureFileError, match=r"weights\.npz is not the file that was stored"):
        open_head(file.parent)


@pytest.mark.parametrize("arrays", [{"coef": np.eye(8), "intercept": np.zeros(8)}, {"coef": np.zeros((3, 8))}, {}])
def test_weights_of_another_head_are_refused(copied, arrays):
    """Weights of other classes or without a part are refused, also when head.json vouches for them."""
    file = copied("linear") / "weights.npz"
    np.savez(file, **arrays)
    change(file.parent)
    with pytest.raises(FeatureFileError, match=r"weights\.npz can't be used"):
        open_head(file.parent)

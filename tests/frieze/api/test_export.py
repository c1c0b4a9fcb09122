"""A head with its backbone as one SavedModel: the judge is the head itself, on embeddings of the same pixels."""

import io
import json
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze
import frieze.embedder
from frieze.api import exporting
from frieze.classifiers import HEADS
from frieze.classifiers.kinds.linear import LinearHead
from frieze.core import InputError, ModelError

SIDE_PX = 24
WIDE = (SIDE_PX, 2 * SIDE_PX)


def save_network(path, tf, seed=0):
    """Save a small SavedModel in hub form: mean colours of 3 x 3 fields through a dense layer to D = 9."""
    module = tf.Module()
    module.dense = tf.Variable(np.random.default_rng(seed).normal(size=(27, 9)).astype("f4"))

    def embed(images):
        return tf.reshape(tf.nn.avg_pool2d(images, 8, 8, "VALID"), [-1, 27]) @ module.dense

    images = tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.float32)
    module.__call__ = tf.function(embed, input_signature=[images], autograph=False)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.__call__})


def save_keras(path, image_size=(SIDE_PX, SIDE_PX)):
    """Save a small `.keras` file that rescales itself."""
    import keras

    keras.utils.set_random_seed(3)
    images = keras.Input((*image_size, 3))
    maps = keras.layers.Conv2D(8, 5, strides=2, activation="silu")(keras.layers.Rescaling(1 / 127.5, -1)(images))
    keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps)).save(path)


@pytest.fixture(scope="module")
def head_on(photos, tmp_path_factory, tf):
    """`head_on(backbone, fit="squash")`: a linear head on the photos by a `module`, a `keras` or a `wide` file."""
    folder = tmp_path_factory.mktemp("backbones")
    save_network(folder / "module", tf)
    save_keras(folder / "network.keras")
    save_keras(folder / "wide.keras", WIDE)
    handles = {"module": folder / "module", "keras": folder / "network.keras", "wide": folder / "wide.keras"}

    def make(backbone, fit="squash"):
        head = folder / f"{backbone}-{fit}.head"
        if not head.exists():
            frieze.embed(photos, out=folder / "f", backbone=str(handles[backbone]), fit=fit, force=True)
            frieze.train(folder / "f", out=head)
        return head

    return make


@pytest.fixture(scope="module")
def exported(world):
    """The world's head as a SavedModel, and what `export` said."""
    return frieze.export(world / "photos.head", out=world / "photos.model")


@pytest.fixture(scope="module")
def signatures(exported, tf):
    """That SavedModel's signatures, loaded by TensorFlow."""
    return tf.saved_model.load(exported["out"]).signatures


def to_png(pixels):
    """Return pixels as a PNG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def ours(head, pixels, folder):
    """Return the head's probabilities and predictions for images of the network's size."""
    opened = frieze.open_head(head)
    paths = [folder / f"{number}.png" for number in range(len(pixels))]
    for path, one in zip(paths, pixels, strict=True):
        path.write_bytes(to_png(one))
    embeddings = frieze.embedder.embed_images(paths, frieze.embedder.reopen_backbone(opened.spec, where="test"))
    return opened.probabilities(embeddings), opened.predict(embeddings)[0].tolist()


def draw(image_size, n=7):
    """Draw n noisy pictures of all colours."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (n, 1, 1, 3)) + rng.normal(0, 30, (n, *image_size, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def check_agrees(signatures, head, folder, tf, image_size):
    """Hold all signatures of a SavedModel against the head."""
    pixels = draw(image_size)
    probabilities, names = ours(head, pixels, folder)
    answers = (
        signatures["pixels"](pixels=tf.constant(pixels)),
        signatures["serving_default"](image_bytes=tf.constant([to_png(one) for one in pixels])),
    )
    for answer in answers:
        assert [name.decode() for name in answer["prediction"].numpy()] == names
    for answer in (*answers, signatures["network"](pixels=tf.constant(pixels))):
        assert np.abs(answer["probabilities"].numpy() - probabilities).max() < 1e-4


def test_an_exported_head_predicts_as_the_head_itself(world, signatures, tmp_path, tf):
    """Exported and loaded, a head returns its own probabilities and predictions in all signatures."""
    check_agrees(signatures, world / "photos.head", tmp_path, tf, (128, 128))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in HEADS if kind != "linear"])
def test_each_exported_head_predicts_as_the_head_itself(small_head, tmp_path, tf, kind):
    """Each kind of head, exported and loaded, returns the head's probabilities and predictions in all signatures."""
    head, before = small_head(kind), random.getstate()
    frieze.export(head, out=tmp_path / "model")
    assert random.getstate() == before, "export drew from the caller's generator"
    check_agrees(tf.saved_model.load(str(tmp_path / "model")).signatures, head, tmp_path, tf, WIDE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "fit"), [("module", "squash"), ("module", "crop"), ("keras", "pad"), ("wide", "crop")]
)
def test_each_backbone_goes_with_it(head_on, tmp_path, tf, backbone, fit):
    """A SavedModel and a `.keras` file become part of the exported one, whatever the fit; all signatures share it."""
    head = head_on(backbone, fit)
    assert frieze.export(head, out=tmp_path / "model")["bytes"] < 200_000
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    check_agrees(signatures, head, tmp_path, tf, WIDE if backbone == "wide" else (SIDE_PX, SIDE_PX))


def test_images_of_any_size_are_predicted_as_here(world, exported, signatures, tf, tmp_path):
    """Files of other sizes, and their pixels, have the probabilities of `frieze predict`."""
    folder = world / "photos" / "green"
    frieze.predict(world / "photos.head", folder, out=tmp_path / "p.parquet", scores=True)
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    expected = np.stack([table[f"score_{name}"] for name in exported["classes"]], axis=1)
    files = [(folder / name).read_bytes() for name in table["id"]]
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in table["id"]])
    by_bytes = signatures["serving_default"](image_bytes=tf.constant(files))["probabilities"].numpy()
    by_pixels = signatures["pixels"](pixels=tf.constant(pixels))["probabilities"].numpy()
    assert np.abs(by_bytes - expected).max() < 1e-3
    assert np.abs(by_pixels - expected).max() < 1e-3


def test_signatures_are_as_promised(signatures, tf):
    """Names, types and shapes of what goes in and comes out."""
    taken = {name: one.structured_input_signature[1] for name, one in signatures.items()}
    assert taken["serving_default"]["image_bytes"].shape.as_list() == [None]
    assert taken["serving_default"]["image_bytes"].dtype == tf.string
    assert taken["pixels"]["pixels"].shape.as_list() == [None, None, None, 3]
    assert taken["network"]["pixels"] == tf.TensorSpec([None, 128, 128, 3], tf.uint8, name="pixels")
    probabilities = tf.TensorSpec([None, 3], tf.float32, name="probabilities")
    prediction = tf.TensorSpec([None], tf.string, name="prediction")
    both = {"probabilities": probabilities, "prediction": prediction}
    expected = {"serving_default": both, "pixels": both, "network": {"probabilities": probabilities}}
    assert {name: one.structured_outputs for name, one in signatures.items()} == expected


def test_one_signature_has_what_other_formats_know(signatures, tf):
    """Nothing of `network` is text, decodes or resizes: TFLite, ONNX and OpenVINO have no such operations."""
    graph = signatures["network"].graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    assert nodes
    unknown = ("Decode", "Image", "Map", "Reverse", "Resize", "ScaleAndTranslate", "String", "While")
    assert [node.op for node in nodes if any(name in node.op for name in unknown)] == []
    assert all(attribute.type != tf.string.as_datatype_enum for node in nodes for attribute in node.attr.values())


def test_the_document(world, exported):
    """The document is true: path, classes, samples, their difference, and the bytes on disk."""
    files = [path for path in (world / "photos.model").rglob("*") if path.is_file()]
    assert exported["out"] == str(world / "photos.model")
    assert (exported["head"], exported["classes"]) == ("linear", ["blue", "green", "red"])
    assert (exported["checked"], exported["stale"]) == (16, None)
    assert 0 <= exported["largest_difference"] < 1e-4
    assert exported["bytes"] == sum(path.stat().st_size for path in files)
    stored = json.loads((world / "photos.model" / "export.json").read_text())
    assert (stored["kind"], stored["classes"], stored["checked"]) == ("export", exported["classes"], 16)


SCRIPT = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = tf.constant([open(path, "rb").read() for path in sys.argv[2:]])
print(*[name.decode() for name in model.signatures["serving_default"](image_bytes=files)["prediction"].numpy()])
print(*{"classifiers", "embedder", "features", "frieze", "index"} & {*sys.modules})
"""


@pytest.fixture(scope="module")
def exported_built_in(tmp_path_factory):
    """The built-in backbone as a SavedModel, and what `export` said."""
    return frieze.export("builtin", out=tmp_path_factory.mktemp("built-in") / "builtin.model")


def test_built_in(exported_built_in, photos):
    """The exported built-in backbone returns the vectors of the original, and describes itself."""
    document = exported_built_in
    assert (document["backbone"], document["dim"], document["checked"]) == ("frieze-mini-3", 256, 16)
    assert document["least_cosine"] > 0.99999
    paths = sorted(photos.rglob("*.png"))[:3]
    request = frieze.embedder.BackboneRequest(handle=document["out"])
    theirs = frieze.embedder.embed_images(paths, frieze.embedder.open_backbone(request))
    ours = frieze.embedder.embed_images(paths, frieze.embedder.open_backbone(frieze.embedder.BackboneRequest()))
    assert theirs == pytest.approx(ours, abs=1e-4)


def test_built_in_is_in_hub_form(exported_built_in, tf):
    """It is what a TensorFlow Hub module is: called with pixels, with variables that may be trained and a signature."""
    module = tf.saved_model.load(exported_built_in["out"])
    images = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    rows = module(images).numpy()
    assert rows.shape == (2, 256)
    assert len(module.trainable_variables) == len(module.variables) > 0
    signature = module.signatures["serving_default"](tf.constant(images))
    assert signature["feature_vector"].numpy() == pytest.approx(rows, abs=1e-5)


def test_built_in_is_checked(tmp_path, monkeypatch):
    """A model that returns other vectors is not kept."""
    from frieze.embedder.backbones.trainable.keras_model import TrainableKerasModel

    save = TrainableKerasModel.save

    def save_other(trunk, folder):
        for weight in trunk._model.weights:
            weight.assign(weight * 0.9 + 0.01)
        save(trunk, folder)
        for weight in trunk._model.weights:
            weight.assign((weight - 0.01) / 0.9)

    monkeypatch.setattr(TrainableKerasModel, "save", save_other)
    with pytest.raises(ModelError, match="The exported backbone is not frieze-mini-3"):
        frieze.export("builtin", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_nothing_of_ours_is_needed(world, exported, tmp_path):
    """A process that imports TensorFlow alone loads the model and predicts."""
    moved = shutil.copytree(exported["out"], tmp_path / "moved")
    photos = [world / "photos" / name / "3.png" for name in ("red", "blue", "green")]
    line = [sys.executable, "-c", SCRIPT, str(moved), *map(str, photos)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stdout.splitlines() == ["red blue green", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("builtin --out {photos}", "already exists"),
        ("builtin --out {head} --force", "is not an exported model"),
        ("{features} --out {new}", "is a table of features; expected a head"),
        ("{nothing} --out {new}", "There is no"),
        ("{head} --out s3://bucket/model", "is not on disk"),
        ("{head} --out {photos}", "already exists"),
        ("{head} --out {photos} --force", "is not an exported model"),
        ("{head} --out {head} --force", "is not an exported model"),
    ],
)
def test_what_can_not_be_exported(world, run, tmp_path, monkeypatch, line, message):
    """What is no head, and an occupied path, is refused before a backbone is loaded."""
    monkeypatch.setattr(
        frieze.embedder, "reopen_backbone", lambda *_args, **_kwargs: pytest.fail("a backbone was loaded")
    )
    paths = {"photos": world / "photos"} | {kind: world / f"photos.{kind}" for kind in ("features", "head")}
    result = run("export", *line.format(new=tmp_path / "new", nothing=tmp_path / "nothing", **paths).split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_vectors_made_elsewhere(tmp_path, run):
    """A head on imported vectors is refused: nothing here can make such a vector of an image."""
    columns = {"id": [*map(str, range(20))], "label": ["a", "b"] * 10, "embedding": np.eye(2).tolist() * 10}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    frieze.import_vectors(tmp_path / "v.parquet", out=tmp_path / "f")
    frieze.train(tmp_path / "f", out=tmp_path / "head")
    result = run("export", tmp_path / "head", "--out", tmp_path / "model")
    assert result.exit_code == 1
    assert "holds vectors made elsewhere" in result.stderr
    assert not (tmp_path / "model").exists()


def test_a_backbone_that_has_changed(photos, tmp_path, tf, run):
    """Where the head's network was replaced by another, the head is not exported with it."""
    save_network(tmp_path / "module", tf)
    frieze.embed(photos, out=tmp_path / "f", backbone=str(tmp_path / "module"))
    frieze.train(tmp_path / "f", out=tmp_path / "head")
    shutil.rmtree(tmp_path / "module")
    save_network(tmp_path / "module", tf, seed=1)
    result = run("export", tmp_path / "head", "--out", tmp_path / "model")
    assert result.exit_code == 1
    assert "fingerprint" in result.stderr
    assert not (tmp_path / "model").exists()


def times(factor):
    """Return an `as_function` whose probabilities are off by a factor, and whose order is right."""
    real = LinearHead.as_function
    return lambda head: lambda embeddings: factor * real(head)(embeddings)


def check_nothing_is_left(tmp_path, head, error, match):
    """Make an export fail, and check that its folder empty."""
    with pytest.raises(error, match=match):
        frieze.export(head, out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_another_answer_fails_the_check(head_on, tmp_path, monkeypatch):
    """A written model whose probabilities are not the head's is not left behind."""
    monkeypatch.setattr(LinearHead, "as_function", times(0.99))
    check_nothing_is_left(tmp_path, head_on("module"), ModelError, "its probabilities differ by up to")


@pytest.mark.parametrize("name", ["pixels", "network", "serving_default"])
def test_each_signature_is_checked(head_on, tmp_path, monkeypatch, tf, name):
    """Nor is one of which a single signature is off."""
    real = exporting._functions

    def off(head, backbone):
        functions = real(head, backbone)
        right, spec = functions[name], functions[name].input_signature
        functions[name] = tf.function(
            lambda given: right(given) | {"probabilities": 0.99 * right(given)["probabilities"]}, spec, autograph=False
        )
        return functions

    monkeypatch.setattr(exporting, "_functions", off)
    check_nothing_is_left(tmp_path, head_on("module"), ModelError, "its probabilities differ by up to")


def test_other_names_fail_the_check(head_on, tmp_path, monkeypatch):
    """Nor is one that gives the right probabilities to another class name."""
    real = exporting._write

    def write_renamed(folder, head, backbone):
        classes, head.classes = head.classes, np.roll(head.classes, 1)
        real(folder, head, backbone)
        head.classes = classes

    monkeypatch.setattr(exporting, "_write", write_renamed)
    check_nothing_is_left(tmp_path, head_on("module"), ModelError, "and its predictions too")


def test_not_a_number_fails_the_check(head_on, tmp_path, monkeypatch):
    """Nor is one that returns NaN."""
    monkeypatch.setattr(LinearHead, "as_function", times(float("nan")))
    check_nothing_is_left(tmp_path, head_on("module"), ModelError, "differ by up to nan")


def test_an_interrupted_run_leaves_nothing(head_on, tmp_path, monkeypatch, tf):
    """Ctrl-C while the model is written or checked leaves nothing, not even beside it."""

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "load", interrupt)
    check_nothing_is_left(tmp_path, head_on("keras"), KeyboardInterrupt, None)  # opened by no `load`


@pytest.mark.parametrize("error", ["AssertionError", "ValueError", "ResourceExhaustedError"])
def test_a_graph_that_can_not_be_saved(head_on, tmp_path, monkeypatch, tf, error):
    """What TensorFlow can't write, for its form, its size or the disk, is reported with another way to go."""
    kinds = {"AssertionError": AssertionError, "ValueError": ValueError}
    failure = (
        kinds[error]("no room\nat all") if error in kinds else tf.errors.ResourceExhaustedError(None, None, "no room")
    )

    def fail(*_args, **_kwargs):
        raise failure

    monkeypatch.setattr(tf.saved_model, "save", fail)
    check_nothing_is_left(
        tmp_path, head_on("module"), InputError, "can't be written as one SavedModel: .*no room\n.*frieze predict"
    )


def test_force_replaces_exported_models_only(head_on, exported, tmp_path, run):
    """--force replaces a model that export wrote, and not one with a file of somebody else's in it."""
    out = shutil.copytree(exported["out"], tmp_path / "model")
    line = ("export", head_on("module"), "--out", out)
    assert [run(*line, *force).exit_code for force in ([], ["--force"])] == [1, 0]
    (out / "variables" / "notes.txt").write_text("mine")
    result = run(*line, "--force")
    assert result.exit_code == 1
    assert "notes.txt is no part of an exported model" in result.stderr
    assert (out / "variables" / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_stale_head_is_reported(photos, small_network, tmp_path, run):
    """A head that is older than its table is exported, and stderr says how to train it again."""
    source = shutil.copytree(photos, tmp_path / "photos")
    frieze.embed(source, out=tmp_path / "f", backbone=str(small_network))
    frieze.train(tmp_path / "f", out=tmp_path / "head")
    (source / "red" / "9.png").unlink()
    frieze.embed(source, out=tmp_path / "f")
    result = run("export", tmp_path / "head", "--out", tmp_path / "model")
    assert result.exit_code == 0
    assert "has changed since" in result.stderr
    assert "Note" not in result.stdout


@pytest.mark.slow
def test_lower_precision_is_exported_in_float32(photos, small_network, tmp_path, monkeypatch, skip_without_bfloat16):
    """A head on vectors of a lower precision goes with the network in float32, and the check holds it to that."""
    with skip_without_bfloat16():
        frieze.embed(photos, out=tmp_path / "f", backbone=str(small_network), precision="bfloat16", accept_drift=True)
    frieze.train(tmp_path / "f", out=tmp_path / "head")
    real, precisions = frieze.embedder.embed_images, []
    monkeypatch.setattr(
        frieze.embedder, "embed_images", lambda paths, one: precisions.append(one.spec.precision) or real(paths, one)
    )
    assert frieze.export(tmp_path / "head", out=tmp_path / "model")["largest_difference"] < 1e-4
    assert precisions == ["float32"]

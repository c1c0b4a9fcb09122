"""A head with its backbone as an ONNX file: the judge is the head itself; ONNX Runtime runs the file."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import frieze
import frieze.embedder
from frieze.api import export_onnx
from frieze.classifiers import HEADS
from frieze.classifiers.kinds.linear import LinearHead
from frieze.core import InputError, ModelError

EXACT = 1e-5

ON_FILES = {
    "mean": ("tokens", {"pixels": "clip", "pool": "avg"}),
    "views": ("tokens", {"pixels": "clip", "pool": "cls", "views": "five-crop"}),
    "inner": ("tokens", {"pixels": "torch", "layer": "s", "pool": "none"}),
    "wide": ("maps", {"pixels": "caffe", "image_size": "16x24", "pool": "gem"}),
    "last": ("nhwc", {"pixels": "0..255", "views": "flip"}),
    "alone": ("alone", {"pixels": "torch"}),
}
"""Name -> a network of `onnx_network` and how it embeds."""


@pytest.fixture(scope="module")
def head_on_file(photos, onnx_network, tmp_path_factory):
    """`head_on_file(name)`: a head on a backbone of `ON_FILES`, made once."""
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("heads")

    def make(name):
        if not (folder / f"{name}.head").exists():
            network, options = ON_FILES[name]
            frieze.embed(photos, out=folder / f"{name}.f", backbone=str(onnx_network(network)), **options)
            frieze.train(folder / f"{name}.f", out=folder / f"{name}.head")
        return folder / f"{name}.head"

    return make


@pytest.fixture(scope="module")
def exported(head_on_file, tmp_path_factory):
    """A head on tokens as an ONNX file, and what `export` said."""
    head = head_on_file("mean")
    return head, frieze.export(head, out=tmp_path_factory.mktemp("onnx") / "new" / "m.onnx", format="onnx")


def run_onnx(path, pixels):
    """Return the probabilities of a file, one image at a time where it takes no more."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[0]
    batches = [pixels[i : i + size] for i in range(len(pixels))] if isinstance(size, int) else [pixels]
    return np.concatenate([session.run(["probabilities"], {"pixels": batch})[0] for batch in batches])


def check_same(head, model, folder, *, tolerance=EXACT):
    """Check that a file gives the head's probabilities of images, for one and for several."""
    opened = frieze.open_head(head)
    pixels = np.random.default_rng(1).integers(0, 256, (3, *opened.spec.image_size, 3), np.uint8)
    paths = [folder / f"{number}.png" for number in range(3)]
    for path, one in zip(paths, pixels, strict=True):
        Image.fromarray(one).save(path)
    backbone = frieze.embedder.reopen_backbone(opened.spec, where="the head")
    expected = opened.probabilities(frieze.embedder.embed_images(paths, backbone))
    assert run_onnx(model, pixels) == pytest.approx(expected, abs=tolerance)
    assert run_onnx(model, pixels[:1]) == pytest.approx(expected[:1], abs=tolerance)


def test_on_an_onnx_backbone(exported, tmp_path):
    """The file gives the head's probabilities, of a backbone that TensorFlow can't run."""
    head, document = exported
    assert (document["format"], document["checked"], document["classes"]) == ("onnx", 16, ["blue", "green", "red"])
    assert document["largest_difference"] < EXACT
    check_same(head, document["out"], tmp_path)


def test_it_describes_itself(exported):
    """Its metadata have the names of the classes, and what it was made of."""
    head, document = exported
    session = onnxruntime.InferenceSession(document["out"], providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["blue", "green", "red"]
    spec = frieze.open_head(head).spec
    assert json.loads(metadata["frieze"])["backbone"] == spec.to_json()
    assert session.get_inputs()[0].shape == ["N", *spec.image_size, 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ON_FILES if name != "mean"])
def test_each_way_to_embed(head_on_file, tmp_path, name):
    """Pixel ranges, orders of axes, poolings, views and inner layers are in the file."""
    head = head_on_file(name)
    frieze.export(head, out=tmp_path / "m.onnx", format="onnx")
    check_same(head, tmp_path / "m.onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HEADS)
def test_each_head_on_tensorflow(small_head, tmp_path, kind):
    """Every kind of head is written with a backbone of TensorFlow, too."""
    frieze.export(small_head(kind), out=tmp_path / "m.onnx", format="onnx")
    check_same(small_head(kind), tmp_path / "m.onnx", tmp_path, tolerance=1e-4)


@pytest.mark.slow
def test_layers_of_convnext(photos, tmp_path):
    """Keras' exact GELU, which tf2onnx does not know, and grouped convolutions, which XLA compiles, are written."""
    import keras

    keras.utils.set_random_seed(3)
    images = keras.Input((24, 24, 3))
    maps = keras.layers.Conv2D(8, 5, strides=2)(keras.layers.Rescaling(1 / 127.5, -1)(images))
    maps = keras.layers.Activation("gelu")(keras.layers.Conv2D(8, 3, groups=8)(maps))
    keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps)).save(tmp_path / "n.keras")
    frieze.embed(photos, out=tmp_path / "f", backbone=str(tmp_path / "n.keras"))
    frieze.train(tmp_path / "f", out=tmp_path / "h")
    frieze.export(tmp_path / "h", out=tmp_path / "m.onnx", format="onnx")
    check_same(tmp_path / "h", tmp_path / "m.onnx", tmp_path)


@pytest.mark.slow
def test_another_answer_fails_the_check(exported, tmp_path, monkeypatch):
    """A file whose probabilities are not the head's is not left behind."""
    real = LinearHead.as_function
    monkeypatch.setattr(LinearHead, "as_function", lambda head: lambda rows: 0.99 * real(head)(rows))
    with pytest.raises(ModelError, match="its probabilities differ by up to"):
        frieze.export(exported[0], out=tmp_path / "m.onnx", format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_can_not_be_converted(exported, tmp_path, monkeypatch):
    """An operation that ONNX lacks is named, with another way to go, and nothing is left."""
    import tensorflow as tf

    def unknown(_):
        return lambda rows: tf.nn.softmax(tf.math.betainc(1.0, 1.0, rows))

    monkeypatch.setattr(LinearHead, "as_function", unknown)
    with pytest.raises(ModelError, match="can't be written as ONNX") as caught:
        frieze.export(exported[0], out=tmp_path / "m.onnx", format="onnx")
    assert "Export it as a SavedModel" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{head} --out {new}.pb", "ends in .pb; expected .onnx"),
        ("builtin --out {new}.onnx", "is exported as a SavedModel, not as onnx"),
        ("{features} --out {new}.onnx", "is a table of features; expected a head"),
        ("{head} --out {foreign}", "already exists"),
        ("{head} --out {foreign} --force", "is not an exported model"),
        ("{head} --out {broken} --force", "is not an exported model"),
    ],
)
def test_what_can_not_be_exported(world, run, tmp_path, onnx_network, line, message):
    """Another suffix, and a file that `export` did not write, are refused before a backbone is loaded."""
    paths = {kind: world / f"photos.{kind}" for kind in ("features", "head")} | {"new": tmp_path / "new"}
    paths |= {name: tmp_path / f"{name}.onnx" for name in ("foreign", "broken")}
    shutil.copy(onnx_network("tokens"), paths["foreign"])
    paths["broken"].write_bytes(b"\x0fnothing")
    result = run("export", "--format", "onnx", *line.format(**paths).split())
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (1, True)


def test_force_replaces_an_export(exported, tmp_path):
    """--force replaces a file that `export` wrote."""
    _, document = exported
    shutil.copy(document["out"], tmp_path / "m.onnx")
    export_onnx.check_onnx(tmp_path / "m.onnx", force=True)
    with pytest.raises(InputError, match="already exists"):
        export_onnx.check_onnx(tmp_path / "m.onnx", force=False)


def test_a_missing_library(exported, tmp_path, monkeypatch):
    """Without the libraries of the extra it is said what to install."""
    monkeypatch.setattr(export_onnx.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else name)
    with pytest.raises(InputError, match="is written with tf2onnx, which") as caught:
        frieze.export(exported[0], out=tmp_path / "m.onnx", format="onnx")
    assert caught.value.hint == "Type: pip install 'frieze[onnx]'"


@pytest.mark.slow
def test_weights_in_a_file_beside_it(photos, onnx_network, tmp_path):
    """Of a backbone whose weights are in another file, these are in the exported one."""
    model = onnx.load(onnx_network("tokens"))
    onnx.save(model, tmp_path / "b.onnx", save_as_external_data=True, location="w", size_threshold=0)
    frieze.embed(photos, out=tmp_path / "f", backbone=str(tmp_path / "b.onnx"), pixels="torch", pool="avg")
    frieze.train(tmp_path / "f", out=tmp_path / "h")
    frieze.export(tmp_path / "h", out=tmp_path / "m.onnx", format="onnx")
    (tmp_path / "alone").mkdir()
    shutil.move(tmp_path / "m.onnx", tmp_path / "alone")
    check_same(tmp_path / "h", tmp_path / "alone" / "m.onnx", tmp_path)

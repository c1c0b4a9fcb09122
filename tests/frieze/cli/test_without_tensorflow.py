"""Commands that only run a network of which a graph is kept, in fresh processes: none imports TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("openvino")

_RUN = """
import json, sys
from frieze.cli.main import main
for line in json.loads(sys.argv[1]):
    try:
        main(line)
    except SystemExit as stop:
        if stop.code:
            raise
    heavy = {"tensorflow", "keras", "sklearn"} & set(sys.modules)
    print("heavy:", *sorted(heavy), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(*lines)`: run commands in one fresh process; return the heavy libraries that were imported after each."""
    folder = tmp_path_factory.mktemp("work")
    for number, name in enumerate(f"{label}/{n}" for label in ("red", "blue") for n in range(6)):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        pixels[..., 0 if name.startswith("red") else 2] = 250
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{name}.png")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*lines):
        command = [sys.executable, "-c", _RUN, json.dumps([[str(word) for word in line] for line in lines])]
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return [line.split()[1:] for line in ended.stderr.splitlines() if line.startswith("heavy:")]

    run.folder = folder
    return run


_MAKE = (("embed", "photos", "--out", "photos.features"), ("index", "photos.features", "--out", "photos.index"))
_ASK = (
    ("search", "photos.index", "photos/red/1.png"),
    ("verify", "photos.features", "--sample", "3"),
    ("cache",),
)


@pytest.fixture(scope="module")
def imported(run):
    """What was imported by then, after each of the first commands on a new machine with the built-in network."""
    return dict(zip([line[0] for line in (*_MAKE, *_ASK)], run(*_MAKE, *_ASK), strict=True))


@pytest.mark.parametrize("command", [line[0] for line in (*_MAKE, *_ASK)])
def test_commands(command, imported):
    """The first embedding, its index, a search by an image and a check of the table import none of them."""
    assert imported[command] == []


def test_predict(imported, run):
    """A linear head predicts new images without any of them."""
    run(("train", "photos.features", "--head", "linear", "--out", "photos.head"))
    assert run(("predict", "photos.head", "photos/blue", "--out", "predictions.csv")) == [[]]


@pytest.mark.slow
def test_a_module(run, tmp_path):
    """A SavedModel's second run imports none of them: the first one kept its graph."""
    from frieze.core import import_tensorflow

    tf = import_tensorflow()
    module = tf.Module()
    signature = tf.TensorSpec([None, 32, 32, 3], tf.float32)
    kernel = tf.constant(np.random.default_rng(0).normal(size=(8, 8, 3, 5)).astype(np.float32))
    module.__call__ = tf.function(lambda images: tf.reduce_mean(tf.nn.conv2d(images, kernel, 8, "VALID"), (1, 2)))
    tf.saved_model.save(module, str(tmp_path / "net"), module.__call__.get_concrete_function(signature))
    line = ("embed", "photos", "--backbone", tmp_path / "net", "--pixels", "0..1", "--out", "net.features")
    assert "tensorflow" in run(line)[0]
    Image.new("RGB", (40, 40), (9, 99, 200)).save(run.folder / "photos" / "red" / "new.png")
    assert run(line) == [[]]


def test_onnx(run, onnx_network):
    """An ONNX file never needs TensorFlow, not to embed and not to embed again."""
    options = ("--backbone", onnx_network("tokens"), "--pixels", "torch", "--pool", "cls")
    embed = ("embed", "photos", *options, "--out", "onnx.features")
    assert run(embed, ("verify", "onnx.features", "--sample", "3")) == [[], []]


@pytest.mark.slow
def test_onnx_predicts(run, onnx_network):
    """Nor to search by an image or to predict new ones."""
    run(
        ("embed", "photos", "--backbone", onnx_network("nhwc"), "--pixels", "clip", "--out", "nhwc.features"),
        ("index", "nhwc.features", "--out", "nhwc.index"),
        ("train", "nhwc.features", "--head", "linear", "--out", "nhwc.head"),
    )
    search = ("search", "nhwc.index", "photos/red/1.png")
    assert run(search, ("predict", "nhwc.head", "photos/blue", "--out", "of_onnx.csv")) == [[], []]


def test_words(run, write_text_tower):
    """A search by words with an ONNX text tower imports none of them."""
    write_text_tower(run.folder / "tower", {"red": np.ones(256)})
    lines = (
        ("embed", "photos", "--text-encoder", "tower", "--out", "text.features"),
        ("index", "text.features", "--out", "text.index"),
        ("search", "text.index", "text:a red bird"),
    )
    assert run(*lines) == [[], [], []]

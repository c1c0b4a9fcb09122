"""Commands that only run a network of which a graph is kept, each in a fresh process: none imports TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("openvino")

_RUN = """
import sys
from frieze.cli.main import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
heavy = {"tensorflow", "keras", "sklearn"} & set(sys.modules)
print("heavy:", *sorted(heavy), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(*args)`: run a command in a process of its own; return the heavy libraries that it imported."""
    folder = tmp_path_factory.mktemp("work")
    for number, name in enumerate(f"{label}/{n}" for label in ("red", "blue") for n in range(6)):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        pixels[..., 0 if name.startswith("red") else 2] = 250
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{name}.png")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*args):
        command = [sys.executable, "-c", _RUN, *map(str, args)]
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stderr.splitlines()[-1].split()[1:]

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def world(run):
    """A table, an index and a head of the built-in network."""
    heavy = run("embed", "photos", "--out", "photos.features")
    heavy += run("index", "photos.features", "--out", "photos.index")
    run("train", "photos.features", "--head", "linear", "--out", "photos.head")
    return heavy


def test_embed_and_index(world):
    """The first embedding by `builtin` on a new machine imports none of them."""
    assert world == []


@pytest.mark.parametrize(
    "args",
    [
        ("search", "photos.index", "photos/red/1.png"),
        ("verify", "photos.features", "--sample", "3"),
        ("cache",),
    ],
    ids=lambda args: args[0],
)
def test_commands(args, world, run):
    """A search by an image and a check of a table import none of them."""
    assert run(*args) == []


def test_predict(world, run):
    """A linear head predicts new images without any of them."""
    assert run("predict", "photos.head", "photos/blue", "--out", "predictions.csv") == []


def test_a_module(world, run, tmp_path):
    """A SavedModel's second run imports none of them: the first one kept its graph."""
    from frieze.core import import_tensorflow

    tf = import_tensorflow()
    module = tf.Module()
    signature = tf.TensorSpec([None, 32, 32, 3], tf.float32)
    kernel = tf.constant(np.random.default_rng(0).normal(size=(8, 8, 3, 5)).astype(np.float32))
    module.__call__ = tf.function(lambda images: tf.reduce_mean(tf.nn.conv2d(images, kernel, 8, "VALID"), (1, 2)))
    tf.saved_model.save(module, str(tmp_path / "net"), module.__call__.get_concrete_function(signature))
    line = ("embed", "photos", "--backbone", tmp_path / "net", "--pixels", "0..1", "--out", "net.features")
    assert "tensorflow" in run(*line)
    Image.new("RGB", (40, 40), (9, 99, 200)).save(run.folder / "photos" / "red" / "new.png")
    assert run(*line) == []


def test_onnx(run, onnx_network):
    """An ONNX file never needs TensorFlow, not to embed and not to embed again."""
    options = ("--backbone", onnx_network("tokens"), "--pixels", "torch", "--pool", "cls")
    assert run("embed", "photos", *options, "--out", "onnx.features") == []
    assert run("verify", "onnx.features", "--sample", "3") == []


@pytest.mark.slow
def test_onnx_predicts(run, onnx_network):
    """Nor to search by an image or to predict new ones."""
    run("embed", "photos", "--backbone", onnx_network("nhwc"), "--pixels", "clip", "--out", "nhwc.features")
    run("index", "nhwc.features", "--out", "nhwc.index")
    run("train", "nhwc.features", "--head", "linear", "--out", "nhwc.head")
    assert run("search", "nhwc.index", "photos/red/1.png") == []
    assert run("predict", "nhwc.head", "photos/blue", "--out", "of_onnx.csv") == []


def test_words(world, run, write_text_tower):
    """A search by words with an ONNX text tower imports none of them."""
    write_text_tower(run.folder / "tower", {"red": np.ones(256)})
    run("embed", "photos", "--text-encoder", "tower", "--out", "text.features")
    run("index", "text.features", "--out", "text.index")
    assert run("search", "text.index", "text:a red bird") == []

"""Recipes 1 and 2 at their own sizes (slow: full width, random weights). Recipe 3 is recipe 1 with another head."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import frieze
from frieze.cli.main import main
from frieze.core import import_keras

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
COLOURS = {"blue": (30, 60, 200), "green": (40, 170, 60), "red": (200, 40, 40)}
N_EACH = 7
MOST_BYTES, MOST_SECONDS = 3 << 30, 400
"""Limits of recipe 2. The square of its 25,088 numbers alone takes 4.7 GB, and its decomposition an hour."""

MEASURED = """
import runpy, sys
script, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(script, run_name="__main__")
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven noisy pictures of each of three colours."""
    folder, rng = tmp_path_factory.mktemp("recipes") / "pictures", np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(N_EACH):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (240, 320, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder


SIDE_PX, DIM = 224, 2048


@pytest.fixture(scope="module")
def network(tf):
    """ResNet50V2 with random weights."""
    keras = import_keras()
    keras.utils.set_random_seed(5)
    return keras.applications.ResNet50V2(weights=None, include_top=False, pooling="avg")


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory, tf):
    """The folder of that network as a module in hub form."""
    module, folder = tf.train.Checkpoint(network=network), tmp_path_factory.mktemp("modules") / "resnet"
    shape = tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.float32)
    module.__call__ = tf.function(lambda images: network(2 * images - 1, training=False), input_signature=[shape])
    module.variables, module.trainable_variables = network.variables, []
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder))
    return folder


def accuracy_in(text):
    """Read the accuracy that a recipe prints."""
    return float(re.search(r"^accuracy ([0-9.]+) .*held-out images$", text, re.MULTILINE)[1])


def plain(network, paths):
    """Embed as a script does: float32 [n, D]."""
    opened = [Image.open(path).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR) for path in paths]
    return network.predict(np.stack([np.asarray(one, np.float32) for one in opened]) / 127.5 - 1, verbose=0)


def run_command(*args):
    """Run a command in this process; return its document."""
    done = CliRunner().invoke(main, [*map(str, args), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_frozen_recipe(network, folder, pictures, run_recipe, tmp_path):
    """Recipe 1 separates colours, by script and by commands alike, on the vectors of the network itself."""
    accuracy, path = accuracy_in(run_recipe("recipe1", pictures, "--backbone", folder)), tmp_path / "recipe1-out"
    embedded = run_command("embed", pictures, "--backbone", folder, "--out", path / "images.features")
    trained = run_command("train", path / "images.features", "--head", "keras", "--out", tmp_path / "h")
    table = frieze.open_features(path / "images.features")
    ours, theirs = table.embeddings()[::5], plain(network, [pictures / name for name in table.ids[::5]])
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert (embedded["embedded"], embedded["unchanged"]) == (0, N_EACH * len(COLOURS))
    assert (table.spec.dim, table.spec.image_size, trained["n_test"]) == (DIM, (SIDE_PX, SIDE_PX), 3)
    assert accuracy == pytest.approx(trained["accuracy"], abs=1e-3) == 1.0
    assert cosines.min() > 1 - 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_fine_tuned_recipe(pictures, tmp_path):
    """Recipe 2 runs at 224 pixels, and needs neither an hour nor the memory of a square of its maps."""
    options = ("--weights", "random", "--epochs", "1")
    command = [sys.executable, "-c", MEASURED, EXAMPLES / "recipe2.py", pictures, *options]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True, timeout=MOST_SECONDS)
    output, peak_kb = done.stdout.strip().rsplit("\n", 1)
    assert 0 <= accuracy_in(output) <= 1
    assert "of a linear probe on the frozen backbone: " in output
    model = tmp_path / "recipe2-out" / "images.model"
    network, scores = frieze.open_head(model).classifier.network, frieze.info(model)["scores"]
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [256, 3]
    assert network.count_params() == 25_088 * 256 + 256 + 256 * 3 + 3
    assert (scores["unfrozen"], scores["n_unfrozen"]) == ("5 of 20 layers, from block5_conv1 on", 7_079_424)
    assert int(peak_kb) * 1024 < MOST_BYTES

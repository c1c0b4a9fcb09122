"""The three recipes at their own sizes, as commands and as scripts (slow: networks of full width, random weights)."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.core import import_keras

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
COLOURS = {"blue": (30, 60, 200), "green": (40, 170, 60), "red": (200, 40, 40)}
N_EACH = 10
MOST_BYTES, MOST_SECONDS = 3 << 30, 400
"""Limits of recipe 2. The square of its 25,088 numbers alone takes 4.7 GB, and its decomposition an hour."""

MEASURED = """
import json, sys
from frieze.cli.main import main
main(sys.argv[1:], standalone_mode=False)
peak = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
print(json.dumps({"peak": peak}))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten noisy pictures of each of three colours."""
    folder, rng = tmp_path_factory.mktemp("recipes") / "pictures", np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(N_EACH):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (240, 320, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder


NETWORKS = {"recipe1": ("ResNet50V2", 224, "keras"), "recipe3": ("InceptionV3", 299, "svm")}
"""Recipe -> network, side in pixels, head."""


@pytest.fixture(scope="module", params=NETWORKS)
def recipe(request, tmp_path_factory, tf):
    """The name of a recipe, its network and the folder of that network as a module in hub form."""
    name, side_px, _ = NETWORKS[request.param]
    keras = import_keras()
    keras.utils.set_random_seed(5)
    network = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg")
    module, folder = tf.train.Checkpoint(network=network), tmp_path_factory.mktemp("modules") / name
    shape = tf.TensorSpec([None, side_px, side_px, 3], tf.float32)
    module.__call__ = tf.function(lambda images: network(2 * images - 1, training=False), input_signature=[shape])
    module.variables, module.trainable_variables = network.variables, []
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder))
    return request.param, network, folder


def accuracy_in(text):
    """Read the accuracy that a recipe prints."""
    return float(re.search(r"^accuracy ([0-9.]+) .*held-out images$", text, re.MULTILINE)[1])


def plain(network, paths, side_px):
    """Embed as a script does: float32 [n, D]."""
    opened = [Image.open(path).resize((side_px, side_px), Image.Resampling.BILINEAR) for path in paths]
    return network.predict(np.stack([np.asarray(one, np.float32) for one in opened]) / 127.5 - 1, verbose=0)


def test_frozen_recipes(recipe, pictures, run_recipe, tmp_path):
    """Recipes 1 and 3 separate colours, by script and by commands alike, on the vectors of the network itself."""
    (name, network, folder), (_, side_px, head) = recipe, NETWORKS[recipe[0]]
    accuracy = accuracy_in(run_recipe(name, pictures, "--backbone", folder))
    frieze_embed = ["embed", pictures, "--backbone", folder, "--out", tmp_path / "f"]
    trained = measured(*frieze_embed)[0] | measured("train", tmp_path / "f", "--head", head, "--out", tmp_path / "h")[0]
    table = frieze.open_features(tmp_path / "f")
    rows = range(0, len(table), 5)
    ours, theirs = table.embeddings()[::5], plain(network, [pictures / table.ids[row] for row in rows], side_px)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert (table.spec.dim, table.spec.image_size, trained["n_test"]) == (2048, (side_px, side_px), 6)
    assert accuracy == pytest.approx(trained["accuracy"], abs=1e-3) == 1.0
    assert cosines.min() > 1 - 1e-4


def measured(*args):
    """Run a command in a separate process; return its document and its peak memory."""
    command = [sys.executable, "-c", MEASURED, *map(str, args), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=MOST_SECONDS)
    document, peak = done.stdout.strip().rsplit("\n", 1)
    return json.loads(document), json.loads(peak)["peak"]


RECIPE2 = ("--backbone", "keras:VGG16", "--weights", "random", "--layer", "block5_pool:flatten")
RECIPE2 += ("--unfreeze", "block5_conv1", "--layers", "256", "--learning-rate", "1e-4", "--schedule", "constant")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_fine_tuned_recipe(pictures, tmp_path):
    """Recipe 2 at 224 pixels is one command, and needs neither an hour nor the memory of a square of its maps."""
    command = ("finetune", pictures, *RECIPE2, "--no-augment", "--cache", "--epochs", 1, "--batch-size", 8)
    tuned, peak = measured(*command, "--out", tmp_path / "m")
    network = frieze.open_head(tmp_path / "m").classifier.network
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [256, 3]
    assert (network.count_params(), tuned["n_unfrozen"]) == (25_088 * 256 + 256 + 256 * 3 + 3, 7_079_424)
    assert tuned["epochs"] == 1
    assert tuned["probe"]["head"] == "linear"
    assert peak < MOST_BYTES


def test_the_script_of_the_fine_tuned_recipe(pictures, run_recipe, tmp_path):
    """Recipe 2's script runs at 224 pixels as it stands, and trains the last block of VGG16."""
    output = run_recipe("recipe2", pictures, "--weights", "random", "--epochs", 1)
    assert 0 <= accuracy_in(output) <= 1
    assert "of a linear probe on the frozen backbone: " in output
    finetuned = frieze.info(tmp_path / "recipe2-out" / "images.model")["scores"]
    assert (finetuned["unfrozen"], finetuned["n_unfrozen"]) == ("5 of 20 layers, from block5_conv1 on", 7_079_424)

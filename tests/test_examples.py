"""The recipes of examples/."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.cli.main import main

EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPES = ("recipe1", "recipe1_keras", "recipe3")
EVERY = (*RECIPES, "recipe2")
LEAST = {"recipe1": 0.8, "recipe1_keras": 0.75, "recipe3": 0.75}
"""Least accuracy on 40 held-out flowers. Right pixels gave .925, .85 and .825, those in [-1, 1] .7, .625, .7."""


@pytest.fixture
def colours(tf, tmp_path):
    """A SavedModel that returns ten times an image's mean colour: float32 [B, 8, 8, 3] -> [B, 3]."""
    module = tf.Module()
    module.weight = tf.Variable(10 * np.eye(3, dtype=np.float32), name="weight")
    module.__call__ = tf.function(
        lambda images: tf.reduce_mean(images, (1, 2)) @ module.weight, [tf.TensorSpec([None, 8, 8, 3])]
    )
    tf.saved_model.save(module, str(tmp_path / "colours"))
    return tmp_path / "colours"


@pytest.fixture
def pictures(tmp_path):
    """Twenty red and twenty blue pictures, no two alike, in a folder each."""
    for number in range(20):
        for name, colour in (("red", (250 - number, number, 30)), ("blue", (30, number, 250 - number))):
            path = tmp_path / "pictures" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 9), colour).save(path)
    return tmp_path / "pictures"


def accuracy_in(text):
    """Read the accuracy that a recipe prints."""
    return float(re.search(r"^accuracy ([0-9.]+) .*held-out images$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("recipe", ["recipe1", "recipe3"])
def test_separable_classes(recipe, colours, pictures, run_recipe, tmp_path):
    """Recipes 1 and 3 separate red from blue, and write a table and the head that they name."""
    assert accuracy_in(run_recipe(recipe, pictures, "--backbone", colours)) == 1.0
    info = frieze.info(tmp_path / f"{recipe}-out" / "images.head")
    assert info["head"] == {"recipe1": "keras", "recipe3": "svm"}[recipe]
    assert len(frieze.open_features(tmp_path / f"{recipe}-out" / "images.features")) == 40


def test_rerun(colours, pictures, run_recipe):
    """A recipe can be run again in the same folder."""
    outputs = [run_recipe("recipe3", pictures, "--backbone", colours) for _ in range(2)]
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_the_keras_recipe(colours, pictures, run_recipe, tmp_path):
    """Recipe 1 in Keras separates red from blue, keeps the backbone unchanged, and saves a model without it."""
    import keras

    options = (pictures, "--backbone", colours, "--side", 8, "--epochs", 30)
    assert accuracy_in(run_recipe("recipe1_keras", *options)) == 1.0
    model = keras.saving.load_model(tmp_path / "recipe1.keras")
    (layer,) = [one for one in model.layers if isinstance(one, frieze.HubLayer)]
    assert np.array_equal(layer.get_weights()[0], 10 * np.eye(3))
    assert [one.units for one in model.layers if isinstance(one, keras.layers.Dense)] == [128, 2]


TINY = ("--layer", "top:flatten", "--unfreeze", "top", "--epochs", 30)
"""Options of recipe 2 for the tiny backbone."""


@pytest.mark.slow
def test_the_fine_tuned_recipe(residual, pictures, run_recipe, tmp_path):
    """Recipe 2 separates red from blue, and writes a model with a hidden layer of 256 units over maps as they are."""
    output = run_recipe("recipe2", pictures, "--backbone", residual, *TINY)
    assert accuracy_in(output) == 1.0
    assert "of a linear probe on the frozen backbone: 1.000" in output
    head = frieze.open_head(tmp_path / "recipe2-out" / "images.model")
    assert (head.spec.dim, head.classifier.architecture.layers) == (6 * 6 * 12, (256,))


@pytest.mark.parametrize("recipe", EVERY)
def test_unknown_backbone(recipe, pictures, run_recipe, tmp_path):
    """A recipe with a missing backbone ends with the message and its hint, without a traceback."""
    with pytest.raises(SystemExit, match=r"Error: .*\n"):
        run_recipe(recipe, pictures, "--backbone", tmp_path / "nothing")


@pytest.mark.parametrize("recipe", ["recipe1", "recipe3"])
def test_commands_in_docstrings(recipe):
    """The two commands of a recipe's docstring are valid uses of `frieze`, with the recipe's backbone."""
    tree = ast.parse((EXAMPLES / f"{recipe}.py").read_text())
    (backbone,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "BACKBONE"
    ]
    lines = re.findall(r"^ +\$ frieze (.*)", ast.get_docstring(tree), re.MULTILINE)
    parsed = {}
    for line in lines:
        name, *args = shlex.split(line)
        parsed[name] = main.get_command(click.Context(main), name).make_context(name, args).params
    assert list(parsed) == ["embed", "train"]
    assert parsed["embed"]["backbone"] == backbone
    assert parsed["embed"]["out"] == parsed["train"]["features"]


def test_the_command_of_the_fine_tuned_recipe():
    """The command of recipe 2's docstring has the options of its script."""
    text = (EXAMPLES / "recipe2.py").read_text()
    (line,) = re.findall(r"\$ frieze finetune (.*)", text.replace("\\\n", " "))
    params = main.get_command(click.Context(main), "finetune").make_context("finetune", shlex.split(line)).params
    options = {name: params[name] for name in ("backbone", "layer", "unfreeze", "layers", "learning_rate")}
    expected = {"backbone": "keras:VGG16", "layer": "block5_pool:flatten", "unfreeze": "block5_conv1"}
    assert options == expected | {"layers": "256", "learning_rate": 1e-4}
    assert all(f'"{word}"' in text for word in (*expected.values(), "256"))


@pytest.fixture(scope="module")
def flowers(data_dir, tmp_path_factory):
    """Real photographs, a real backbone, and the table that recipes 1 and 3 make of them."""
    handle, table = data_dir / "backbones" / "mobilenet_v1_025_128" / "saved_model", tmp_path_factory.mktemp("flowers")
    photographs = data_dir / "images" / "flowers_ccby_200"
    frieze.embed(str(photographs), backbone=str(handle), out=table / "images.features")
    return photographs, handle, table


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_real_photographs(recipe, run_recipe, flowers, tmp_path):
    """On real flowers with a real backbone each recipe is as good as its vectors; in a wrong range they are not."""
    photographs, handle, table = flowers
    shutil.copytree(table, tmp_path / f"{recipe}-out")
    more = ["--side", 128] if recipe == "recipe1_keras" else []
    assert accuracy_in(run_recipe(recipe, photographs, "--backbone", handle, *more)) >= LEAST[recipe]

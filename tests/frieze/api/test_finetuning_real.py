"""Fine-tuning real networks on real photographs (needs FRIEZE_DATA); of small networks test_finetuning.py has more."""

import shutil

import numpy as np
import pytest

import frieze

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flowers(data_dir, tmp_path_factory):
    """A folder of 100 photographs of flowers of five classes."""
    folder = tmp_path_factory.mktemp("real") / "flowers"
    for path in sorted((data_dir / "images" / "flowers_ccby_200").glob("*/*.jpg"))[::2]:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


@pytest.fixture(scope="module")
def options(data_dir, flowers):
    """How MobileNetV2's top is fine-tuned on these photographs, an epoch at 96 pixels."""
    weights = data_dir / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
    named = {"backbone": "keras:MobileNetV2", "weights": str(weights), "image_size": 96, "augment": False}
    return {"source": str(flowers), "epochs": 1} | named


def test_the_model_is_what_was_scored(options, tmp_path):
    """Embedded with the model and evaluated, the held-out photographs have the accuracy of the run."""
    document = frieze.finetune(**options, out=tmp_path / "m")
    frieze.embed(options["source"], out=tmp_path / "f", backbone=str(tmp_path / "m"))
    actual = frieze.evaluate(tmp_path / "m", tmp_path / "f")
    assert (actual["n_test"], actual["accuracy"]) == (document["n_test"], pytest.approx(document["accuracy"], abs=0.06))


def test_statistics_of_a_saved_model_stay(options, data_dir, tmp_path, tf):
    """Of a SavedModel with live batch norm, all of it free, the stored statistics are the same bits; all else moved."""
    folder = data_dir / "backbones" / "mobilenet_v2_100_224_bn" / "saved_model"
    options = options | {"backbone": str(folder), "weights": None, "unfreeze": "all", "layers": "32"}
    assert frieze.finetune(**options, out=tmp_path / "m")["best_epoch"] == 1
    first, stored = (tf.saved_model.load(str(path)) for path in (folder, tmp_path / "m" / "saved_model"))
    before, after = ({one.name: one.numpy() for one in module.variables} for module in (first, stored))
    statistics = {one.name for one in first.variables} - {one.name for one in first.trainable_variables}
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert len(statistics) == 106
    assert not statistics & moved
    assert len(moved) > 150

"""Fine-tuning real networks on real photographs; a killed run is compared with an unbroken one (needs FRIEZE_DATA)."""

import json
import subprocess
import sys

import numpy as np
import pytest

import frieze
from frieze.classifiers.finetuning.devices import Devices
from frieze.classifiers.finetuning.trainer import Trainer

pytestmark = pytest.mark.slow

KILL = """
import json, os, signal, sys
import frieze
from frieze.classifiers.finetuning.trainer import Trainer

real = Trainer._epoch

def dying(learning, epoch, draw, watched, step):
    def told(done, total):
        step(done, total)
        if epoch == 2 and done == learning.n_steps + 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(learning, epoch, draw, watched, told)

Trainer._epoch = dying
frieze.finetune(**json.loads(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def options(data_dir):
    """How MobileNetV2's top is fine-tuned on 200 photographs of flowers, three epochs at 96 pixels."""
    weights = data_dir / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
    named = {"backbone": "keras:MobileNetV2", "weights": str(weights), "image_size": 96, "augment": False}
    return {"source": str(data_dir / "images" / "flowers_ccby_200"), "epochs": 3} | named


@pytest.fixture(scope="module")
def unbroken(options, tmp_path_factory):
    """The document of a run that nobody disturbs."""
    return frieze.finetune(**options, out=tmp_path_factory.mktemp("unbroken") / "m")


@pytest.fixture(scope="module")
def killed(options, tmp_path_factory):
    """A folder where a run was killed in its second epoch, and the path of its model."""
    out = tmp_path_factory.mktemp("killed") / "m"
    done = subprocess.run([sys.executable, "-c", KILL, json.dumps(options | {"out": str(out)})], check=False)
    assert done.returncode == -9
    return out


def test_a_killed_run_resumes(options, killed, unbroken, monkeypatch):
    """Killed in the second epoch, the same line resumes there, and ends as the run that was not killed."""
    assert [path.name for path in killed.parent.iterdir()] == [".m.finetune"]
    begun, real = [], Trainer._epoch
    monkeypatch.setattr(Trainer, "_epoch", lambda self, epoch, *rest: begun.append(epoch) or real(self, epoch, *rest))
    document = frieze.finetune(**options, out=killed)
    losses = [[epoch["val_loss"] for epoch in one["history"]] for one in (document, unbroken)]
    assert begun == [2, 3]
    assert np.allclose(*losses, rtol=0.02)
    assert document["accuracy"] == pytest.approx(unbroken["accuracy"], abs=0.05)
    assert [path.name for path in killed.parent.iterdir()] == ["m"]


def test_kept_maps_learn_the_same(options, unbroken, tmp_path):
    """With the frozen part's maps kept in float16 the losses are those of the whole network, to a hundredth or so."""
    document = frieze.finetune(**options, out=tmp_path / "m", cache=True)
    losses = [[epoch["val_loss"] for epoch in one["history"]] for one in (document, unbroken)]
    assert np.allclose(*losses, rtol=0.05)


def test_the_model_is_what_was_scored(options, tmp_path):
    """Embedded with the model and evaluated, the held-out photographs have the accuracy of the run."""
    document = frieze.finetune(**options | {"epochs": 1}, out=tmp_path / "m")
    frieze.embed(options["source"], out=tmp_path / "f", backbone=str(tmp_path / "m"))
    actual = frieze.evaluate(tmp_path / "m", tmp_path / "f")
    assert (actual["n_test"], actual["accuracy"]) == (document["n_test"], pytest.approx(document["accuracy"], abs=0.03))


def test_statistics_of_a_saved_model_stay(options, data_dir, tmp_path, tf):
    """Of a SavedModel with live batch norm, all of it free, the stored statistics are the same bits; all else moved."""
    folder = data_dir / "backbones" / "mobilenet_v2_100_224_bn" / "saved_model"
    options = options | {"backbone": str(folder), "weights": None, "unfreeze": "all", "layers": "32", "epochs": 1}
    assert frieze.finetune(**options, out=tmp_path / "m")["best_epoch"] == 1
    first, stored = (tf.saved_model.load(str(path)) for path in (folder, tmp_path / "m" / "saved_model"))
    before, after = ({one.name: one.numpy() for one in module.variables} for module in (first, stored))
    statistics = {one.name for one in first.variables} - {one.name for one in first.trainable_variables}
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert len(statistics) == 106
    assert not statistics & moved
    assert len(moved) > 150


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)])
def test_mixed_precision_learns_the_same(options, unbroken, tmp_path, monkeypatch, policy, tolerance):
    """In mixed precision MobileNetV2 has the losses of float32, nearer in float16 than in bfloat16."""
    monkeypatch.setattr(Devices, "find", lambda: Devices(policy=policy))
    document = frieze.finetune(**options, out=tmp_path / "m")
    losses = [[epoch["val_loss"] for epoch in one["history"]] for one in (document, unbroken)]
    assert document["training_precision"] == policy
    assert np.allclose(*losses, atol=tolerance)
    assert document["accuracy"] == pytest.approx(unbroken["accuracy"], abs=0.05)


TWO_PROCESSORS = """
import json, sys
from frieze.core import import_tensorflow
config = import_tensorflow().config
processors = [config.LogicalDeviceConfiguration() for _ in range(2)]
config.set_logical_device_configuration(config.list_physical_devices("CPU")[0], processors)
import frieze
from frieze.classifiers.finetuning.devices import Devices
Devices.find = lambda: Devices(("/device:CPU:0", "/device:CPU:1"), "mixed_float16")
sys.stdout.write(json.dumps(frieze.finetune(**json.loads(sys.argv[1]))))
"""


def test_a_saved_model_on_two_devices(options, data_dir, tmp_path):
    """A SavedModel on two devices has the losses of one, in the float32 of its graph whatever is chosen."""
    folder = data_dir / "backbones" / "mobilenet_v1_025_128" / "saved_model"
    options = options | {"backbone": str(folder), "weights": None, "image_size": None, "epochs": 1}
    command = [sys.executable, "-c", TWO_PROCESSORS, json.dumps(options | {"out": str(tmp_path / "two")})]
    two = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    one = frieze.finetune(**options, out=tmp_path / "one")
    assert (two["n_replicas"], two["training_precision"]) == (2, "float32")
    losses = [[epoch["val_loss"] for epoch in document["history"]] for document in (one, two)]
    assert np.allclose(*losses, rtol=0.02)

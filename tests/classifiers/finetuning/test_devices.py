"""Devices that train; two processors of one CPU stand for two GPUs, a plain loop of one device is the judge."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from frieze.classifiers import FinetuneConfig
from frieze.classifiers.finetuning.devices import FLOAT32, MIXED_FLOAT16, Devices
from frieze.classifiers.finetuning.inputs import Images, batches
from frieze.classifiers.finetuning.trainer import Trainer
from frieze.classifiers.finetuning.validation import Validation
from frieze.core import import_keras, import_tensorflow

TWO_PROCESSORS = """
import runpy, sys
from frieze.core import import_tensorflow
config = import_tensorflow().config
processors = [config.LogicalDeviceConfiguration() for _ in range(2)]
config.set_logical_device_configuration(config.list_physical_devices("CPU")[0], processors)
runpy.run_path(sys.argv[1])["print_runs"]()
"""


@pytest.fixture
def gpus(monkeypatch, tf):
    """`gpus(capability, ...)`: a machine with GPUs of these compute capabilities; None for a GPU without one."""

    def install(*capabilities):
        names = [f"/device:GPU:{number}" for number in range(len(capabilities))]
        details = {
            name: {"compute_capability": one} if one else {} for name, one in zip(names, capabilities, strict=True)
        }
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: names if kind == "GPU" else ["CPU"])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: [SimpleNamespace(name=name) for name in names])
        return Devices.find()

    return install


def test_a_cpu_trains_in_float32(gpus):
    """Without a GPU nothing is chosen: one replica, in float32."""
    assert (gpus(), gpus().n_replicas) == (Devices((), FLOAT32), 1)


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([(7, 0)], MIXED_FLOAT16),
        ([(9, 0), (8, 6)], MIXED_FLOAT16),
        ([(6, 1)], FLOAT32),
        ([(7, 5), (6, 1)], FLOAT32),
        ([None], FLOAT32),
    ],
)
def test_tensor_cores_decide_the_precision(gpus, capabilities, policy):
    """Precision is mixed from compute capability 7.0 on, where each GPU has it; each GPU has a replica."""
    devices = gpus(*capabilities)
    assert (devices.policy, devices.n_replicas) == (policy, len(capabilities))
    assert devices.names == tuple(f"/device:GPU:{number}" for number in range(len(capabilities)))


NAMES = ("/device:CPU:0", "/device:CPU:1")
IMAGES = np.random.default_rng(0).random((41, 6, 6, 3), np.float32)
CODES = np.arange(41) % 3
FITTED, WATCHED, BATCH = np.arange(25), np.arange(25, 41), 8  # the last batch of an epoch has one image
STEPS = [
    np.random.default_rng([0, epoch]).permutation(FITTED)[start : start + BATCH]
    for epoch in (1, 2)
    for start in range(0, len(FITTED), BATCH)
]
"""The rows of each step of two epochs."""


def new_network():
    """Return a small convolutional network with weight decay, whose weights are the same each time."""
    keras = import_keras()
    keras.utils.set_random_seed(1)
    layers, images = keras.layers, keras.Input((6, 6, 3))
    maps = layers.Conv2D(4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.1))(images)
    return keras.Model([images], layers.Dense(3, activation="softmax")(layers.Flatten()(maps)))


def train(devices, images=IMAGES):
    """Train for two epochs; return the last weights and the history."""
    network, inputs = new_network(), Images(lambda positions: images[positions], [(6, 6, 3)], "float32")
    config = FinetuneConfig(epochs=2, batch_size=BATCH, learning_rate=0.01, schedule="constant")
    with tempfile.TemporaryDirectory() as folder:
        state = Trainer(network, config, n_rows=len(FITTED), devices=devices).run(
            lambda epoch: batches(inputs, CODES, FITTED, batch_size=BATCH, seed=[0, epoch]),
            Validation(lambda: batches(inputs, CODES, WATCHED, batch_size=5, seed=None), CODES[WATCHED]),
            Path(folder) / "checkpoint.npz",
            lambda *_: None,
        )
    return flat(state.state[: len(network.trainable_variables)]), state.history


def loop(skipped=-1):
    """Train the same in a plain loop, by the mean loss of each batch without the row `skipped`; return the weights."""
    tf, network, adam = import_tensorflow(), new_network(), import_keras().optimizers.Adam(0.01)
    for rows in STEPS:
        with tf.GradientTape() as tape:
            of_labels = tf.gather(network([IMAGES[rows]]), CODES[rows], batch_dims=1)
            loss = tf.add_n(network.losses) - tf.reduce_mean(tf.math.log(of_labels))
        variables = network.trainable_variables
        if skipped not in rows:
            adam.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return flat(network.trainable_variables)


def flat(arrays):
    """Return all numbers of some arrays."""
    return np.concatenate([np.asarray(one).ravel() for one in arrays]).tolist()


def placements():
    """List the operations of a step that compute convolutions, with their devices."""
    tf, network = import_tensorflow(), Devices(NAMES).replicate(new_network())
    network.compile("adam", loss="sparse_categorical_crossentropy")
    step = tf.function(lambda images, codes: network.train_step(((images,), codes)))
    graph = step.get_concrete_function(tf.TensorSpec([None, 6, 6, 3]), tf.TensorSpec([None], tf.int64)).graph
    return sorted(f"{one.type} {one.device[-5:]}" for one in graph.get_operations() if "Conv2D" in one.type)


def print_runs():
    """Print what two devices do, and one, and the loop."""
    huge, row = IMAGES.copy(), STEPS[0][-1]  # the second device's; its loss is finite, its scaled gradient is not
    huge[row] *= 5e37
    runs = {"one": train(Devices()), "two": train(Devices(NAMES)), "loop": loop(), "placements": placements()}
    runs |= {"overflow": train(Devices(NAMES, MIXED_FLOAT16), huge), "overflow_loop": loop(skipped=row)}
    sys.stdout.write(json.dumps(runs))


@pytest.fixture(scope="module")
def runs():
    """What `print_runs` prints in a process whose CPU is two devices."""
    command = [sys.executable, "-c", TWO_PROCESSORS, __file__]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_two_devices_train_as_one(runs):
    """The gradient is that of the batch's mean loss, also of a batch that leaves a device without an image."""
    weights, _ = runs["two"]
    assert weights == pytest.approx(runs["loop"], abs=1e-5)
    assert weights == pytest.approx(runs["one"][0], abs=1e-5)


@pytest.mark.slow
def test_two_devices_measure_as_one(runs):
    """Losses and accuracies of each epoch are those of one device: what fills up a share does not count."""
    one, two = ([epoch | {"seconds": 0} for epoch in runs[name][1]] for name in ("one", "two"))
    assert len(one) == len(two) == 3
    assert all(actual == pytest.approx(expected, rel=1e-4) for actual, expected in zip(two, one, strict=True))


@pytest.mark.slow
def test_each_device_computes_its_share(runs):
    """Forward and backward pass of each share are placed on its own device."""
    kinds = ("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput")
    assert runs["placements"] == [f"{kind} CPU:{number}" for kind in kinds for number in (0, 1)]


@pytest.mark.slow
def test_an_overflow_of_one_device_skips_the_step(runs):
    """In mixed precision a step whose scaled gradient overflows on one device changes no weight of any."""
    assert runs["overflow"][0] == pytest.approx(runs["overflow_loop"], abs=1e-5)
    assert runs["overflow_loop"] != pytest.approx(runs["loop"], abs=1e-3)

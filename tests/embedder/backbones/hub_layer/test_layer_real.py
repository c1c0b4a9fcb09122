"""The layer against `hub.KerasLayer` in tf_keras, on real weights and photographs (slow; needs FRIEZE_DATA)."""

import numpy as np
import pytest
from PIL import Image

from frieze.core import import_tensorflow_hub

pytestmark = pytest.mark.slow

SIDE_PX, N_IMAGES, N_CLASSES, BATCH = 96, 40, 5, 20


@pytest.fixture(scope="module")
def folder(data_dir):
    """MobileNetV2 with live batch norm."""
    return data_dir / "backbones" / "mobilenet_v2_100_224_bn" / "saved_model"


@pytest.fixture(scope="module")
def photographs(data_dir):
    """Eight photographs of each of five flowers: float32 [40, 96, 96, 3] in [0, 1], and int [40]."""
    classes = sorted(path for path in (data_dir / "images" / "flowers5_128").iterdir() if path.is_dir())
    paths = [path for one in classes for path in sorted(one.glob("*.jpg"))[: N_IMAGES // N_CLASSES]]
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((SIDE_PX, SIDE_PX)), np.float32) for path in paths]
    labels = np.repeat(np.arange(N_CLASSES), N_IMAGES // N_CLASSES)
    order = np.random.default_rng(0).permutation(N_IMAGES)
    return np.stack(pixels)[order] / 255, labels[order]


def train(layer, keras, photographs, *, rate, n_epochs=3):
    """Train the layer and a head that begins the same everywhere: gives the loss of each step."""
    head = keras.layers.Dense(N_CLASSES, activation="softmax")
    model = keras.Sequential([keras.layers.InputLayer((SIDE_PX, SIDE_PX, 3)), layer, head])
    kernel = np.random.default_rng(1).normal(0, 0.03, (1280, N_CLASSES)).astype(np.float32)
    head.set_weights([kernel, np.zeros(N_CLASSES, np.float32)])
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    images, labels = photographs
    losses = []
    for at in [*range(0, N_IMAGES, BATCH)] * n_epochs:
        model.reset_metrics()  # else Keras 3 tells the mean so far
        losses.append(float(model.train_on_batch(images[at : at + BATCH], labels[at : at + BATCH])))
    return np.array(losses)


def theirs_and_ours(folder, mode):
    """Return `hub.KerasLayer` and our layer of one module, all trainable, each with the Keras it belongs to."""
    import keras
    import tf_keras

    from frieze.embedder import HubLayer

    theirs = import_tensorflow_hub().KerasLayer(str(folder), trainable=True)
    if mode == "inference":  # which hub has no switch for: it passes on what `fit` says, in place of our False
        theirs._has_training_argument = False
        theirs._arguments = {"training": False}
    return (theirs, tf_keras), (HubLayer(folder, trainable=True, batch_norm=mode), keras)


def distance(some, others):
    """Return the Euclidean distance of two lists of arrays, as if each were one vector."""
    return np.sqrt(sum(float(((one - other) ** 2).sum()) for one, other in zip(some, others, strict=True)))


@pytest.mark.parametrize(("mode", "rate"), [("inference", 1e-4), ("train", 3e-4)])
def test_trains_as_hub_does(mode, rate, folder, photographs):
    """From the same weights, with the same data and optimizer, losses and weights are those of `hub.KerasLayer`.

    Training amplifies rounding: a second run of hub's own layer differs from the first by up to .006 in six steps.
    """
    (theirs, tf_keras), (ours, keras) = theirs_and_ours(folder, mode)
    before = [weight.numpy().copy() for weight in ours._bound]
    expected = train(theirs, tf_keras, photographs, rate=rate)
    actual = train(ours, keras, photographs, rate=rate)
    assert expected[-1] < expected[0] - 0.4
    assert np.abs(actual - expected)[:3].max() < 2e-4
    assert np.abs(actual - expected).max() < 2e-2
    after = [weight.numpy() for weight in ours._bound]
    reference = [variable.numpy() for variable in theirs.resolved_object.variables]
    assert distance(after, reference) < 0.1 * distance(after, before)
    still = {name for name, one, other in zip(ours.variable_names, after, before, strict=True) if (one == other).all()}
    statistics = {name for name in ours.variable_names if "running_" in name}
    assert still & statistics == (statistics if mode == "inference" else set())


def test_names_and_file(folder, photographs, tmp_path):
    """Of the real module the chosen layers train alone, and a model's file gives the same outputs."""
    import keras

    from frieze.embedder import HubLayer

    layer = HubLayer(folder, trainable=["stem_1/*", "linearbottleneck16_*"])
    before = [weight.numpy().copy() for weight in layer._bound]
    train(layer, keras, photographs, rate=1e-3, n_epochs=1)
    moved = {
        name
        for name, weight, was in zip(layer.variable_names, layer._bound, before, strict=True)
        if not np.array_equal(weight.numpy(), was)
    }
    assert len(moved) == 12
    assert {name.split("_")[0] for name in moved} == {"stem", "linearbottleneck16"}
    model = keras.Sequential([keras.Input((SIDE_PX, SIDE_PX, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.allclose(loaded.predict(photographs[0]), model.predict(photographs[0]), atol=1e-5)

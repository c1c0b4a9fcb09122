"""What all rooms' tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

from features import import_keras, import_tensorflow


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real weights and photographs; the test is skipped where it is absent."""
    folder = Path(os.environ.get("FRIEZE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set FRIEZE_DATA")
    return folder


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, imported once."""
    return import_tensorflow()


def _build_residual(seed):
    """Give a network of three convolutions, live batch norm and a connection past the second: [B, 16, 16, 3] -> 12."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((16, 16, 3))
    maps = layers.Conv2D(8, 3, 2, "same", name="low")(layers.Rescaling(1 / 127.5, -1, name="scale")(images))
    past = layers.BatchNormalization(name="low_norm")(maps)
    maps = layers.Conv2D(8, 3, padding="same", name="high")(layers.ReLU(name="low_relu")(past))
    maps = layers.Add(name="add")([layers.BatchNormalization(name="high_norm")(maps), past])
    maps = layers.Conv2D(12, 3, activation="relu", name="top")(maps)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="mean")(maps), name="residual")


@pytest.fixture(scope="session")
def residual(tmp_path_factory, tf):
    """A `.keras` file of a tiny network with batch norm, whose statistics are not those of a new one."""
    model, rng = _build_residual(3), np.random.default_rng(0)
    for name in ("low_norm", "high_norm"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([gamma, beta, mean + 0.2, variance * rng.uniform(0.3, 0.6, variance.shape)])
    path = tmp_path_factory.mktemp("residual") / "residual.keras"
    model.save(path)
    return path

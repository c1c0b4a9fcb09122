import contextlib
import importlib

import numpy as np
import pytest

from frieze.embedder import PIXELS
from frieze.embedder.backbones.catalogue import APPLICATIONS


def test_complete(tf):
    """The table has every image model of keras.applications, and no other."""
    import keras

    there = {name for name, value in vars(keras.applications).items() if callable(value)}
    assert set(APPLICATIONS) == there


@pytest.mark.parametrize("name", APPLICATIONS)
def test_pixels(name, tf):
    """The range of pixels is what the model's own preprocess_input makes of 0..255."""
    import keras

    prepare = importlib.import_module(getattr(keras.applications, name).__module__).preprocess_input
    images = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
    expected = prepare(images * 255)
    assert np.allclose(PIXELS[APPLICATIONS[name].pixels](images), expected, atol=1e-3)


@contextlib.contextmanager
def without_values(keras):
    """Networks that are built here have weights of a shape alone: none is drawn."""
    from keras.src.backend.common import global_state

    with keras.StatelessScope():
        yield
        global_state.set_global_attribute("uninitialized_variables", [])  # which would be drawn now


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_size_width_and_parameters(name, tf, monkeypatch):
    """Default side, width after average pooling and number of weights are those of the built model."""
    import keras
    from keras.src.applications import imagenet_utils

    sides, obtain = [], imagenet_utils.obtain_input_shape
    monkeypatch.setattr(
        imagenet_utils, "obtain_input_shape", lambda *a, **k: sides.append(k["default_size"]) or obtain(*a, **k)
    )
    build, (dim, side, n_parameters, _) = getattr(keras.applications, name), APPLICATIONS[name]
    with without_values(keras):
        model = build(weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3))
    assert (model.output_shape[-1], model.count_params()) == (dim, n_parameters)
    # MobileNetV3 states its side in words only.
    assert sides == [side] or f"({side}, {side}, 3)" in build.__doc__
    keras.backend.clear_session()

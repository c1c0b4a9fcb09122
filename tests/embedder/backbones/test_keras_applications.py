import importlib

import numpy as np
import pytest

from frieze.core import InputError, ModelError
from frieze.embedder import BackboneRequest, open_backbone

SIDES = {"MobileNetV2": 96, "MobileNetV3Small": 32, "VGG16": 32}
"""One network for each sort of preprocessing: -1..1, its own Rescaling, caffe."""


def images(side=32):
    """Draw two images of a side, float32 in [0, 1]."""
    return np.random.default_rng(0).random((2, side, side, 3), np.float32)


def refusal(**requested):
    """Open what can't be opened, and return the error."""
    with pytest.raises(InputError) as caught:
        open_backbone(BackboneRequest(**{"weights": "random"} | requested))
    return caught.value


@pytest.mark.parametrize(("name", "side"), SIDES.items())
def test_agrees_with_keras(name, side, opened, cosines, tf):
    """Vectors are those of the network called directly, after its own preprocess_input, averaged over the maps."""
    import keras

    build = getattr(keras.applications, name)
    keras.utils.set_random_seed(0)
    model = build(weights=None, include_top=False, input_shape=(side, side, 3))
    prepare = importlib.import_module(build.__module__).preprocess_input
    expected = np.mean(model(prepare(images(side) * 255), training=False), axis=(1, 2))
    backbone = opened(f"keras:{name}", weights="random", image_size=side)
    assert backbone.spec.image_size == (side, side)
    assert cosines(backbone.call(images(side)), expected).min() > 0.99999


def test_default_size(small_application):
    """Without --image-size it is the network's own default."""
    spec = open_backbone(BackboneRequest(handle=small_application, weights="random")).spec
    assert (spec.name, spec.handle, spec.image_size, spec.dim) == ("Small", "keras:Small", (32, 32), 8)
    assert (spec.pixels, spec.weights) == ("-1..1", "random")


def test_random_weights_are_the_same_twice(small_application):
    """Random weights are the same ones every time: same fingerprint, same vectors."""
    first, second = (open_backbone(BackboneRequest(handle=small_application, weights="random")) for _ in range(2))
    assert second.spec == first.spec
    assert np.allclose(second.call(images()), first.call(images()), atol=1e-6)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_from_a_file(ending, small_network, small_application):
    """--weights FILE takes the weights of a saved model or a file of weights, and the fingerprint tells them apart."""
    model, folder = small_network
    request = {"handle": small_application, "weights": str(folder / f"small{ending}")}
    backbone = open_backbone(BackboneRequest(**request))
    assert np.allclose(backbone.call(images()), model(images() * 2 - 1, training=False), atol=1e-5)
    random = open_backbone(BackboneRequest(**request | {"weights": "random"}))
    assert backbone.spec.fingerprint != random.spec.fingerprint


@pytest.fixture
def wrong_weights(small_network, tf, tmp_path):
    """A folder of files that do not hold the weights of `keras:Small`."""
    import keras

    keras.utils.set_random_seed(0)
    sizes = {"shapes": 4, "names": 8}  # other shapes; the right shapes, but only of one layer
    for name, width in sizes.items():
        layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(width, 3, name="other"), keras.layers.Flatten()]
        model = keras.Sequential(layers[: 2 + (name == "shapes")])
        model.save(tmp_path / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
    (tmp_path / "text.h5").write_text("text")
    return tmp_path


@pytest.mark.filterwarnings("ignore:Skipping")  # Keras warns before it refuses
@pytest.mark.parametrize(
    "file",
    ["shapes.keras", "shapes.weights.h5", "names.keras", "names.weights.h5", "text.h5", "nowhere.h5", "nowhere.keras"],
)
def test_weights_of_another_network(file, wrong_weights, small_application):
    """A file that holds another network's weights, or none, is rejected by its name: none stays random unsaid."""
    error = refusal(handle=small_application, weights=str(wrong_weights / file))
    assert isinstance(error, ModelError)
    assert file in error.message
    assert "List of objects" not in error.message
    assert len(error.message.replace(str(wrong_weights), "")) < 600
    assert error.hint


def test_imagenet_weights_out_of_reach(monkeypatch, tf):
    """Without a connection the error says how to do without one."""

    def refuse(*_args, **_options):
        raise OSError("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    error = refusal(handle="keras:MobileNetV3Small", weights=None)
    assert error.message == "The ImageNet weights of MobileNetV3Small can't be downloaded: URL fetch failure."
    assert "`weights='FILE.keras'`" in error.hint


def test_unknown_name():
    """The message for a misspelled name suggests the right one."""
    error = refusal(handle="keras:MobilenetV2")
    assert error.message.startswith("keras.applications has no MobilenetV2. Did you mean MobileNetV2 or")
    assert error.hint == "List all names with: frieze backbones"
    assert refusal(handle="keras:xyz").message == "keras.applications has no xyz."


def test_too_small():
    """A size below what the network takes is rejected with Keras's own words."""
    error = refusal(handle="keras:MobileNetV2", image_size=16)
    assert "at least 32x32" in error.message
    assert "`image_size`" in error.hint


def test_layer(small_network, small_application):
    """--layer reads a layer in the middle, averaged over height and width."""
    import keras

    model, folder = small_network
    expected = np.mean(keras.Model(model.input, model.get_layer("first").output)(images() * 2 - 1), axis=(1, 2))
    request = BackboneRequest(handle=small_application, weights=str(folder / "small.keras"), layer="first")
    backbone = open_backbone(request)
    assert (backbone.spec.layer, backbone.spec.dim) == ("first", 6)
    assert np.allclose(backbone.call(images()), expected, atol=1e-5)


def test_unknown_layer(small_application):
    """The message for an unknown layer lists similar names."""
    error = refusal(handle=small_application, layer="frist")
    assert error.message == "Small has no layer frist."
    assert error.hint == "Similar names: first."


def test_pixels_are_its_own():
    """--pixels is rejected: each network has its own preprocessing."""
    assert refusal(handle="keras:VGG16", pixels="0..1").hint == "Leave `pixels` out."

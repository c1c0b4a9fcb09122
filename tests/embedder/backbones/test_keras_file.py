import re

import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder import PIXELS, BackboneRequest, open_backbone

COLOUR = np.array([0.2, 0.4, 0.6], np.float32)
IMAGES = np.broadcast_to(COLOUR, (2, 8, 8, 3))


@pytest.fixture
def save(tf, tmp_path):
    """`save(*layers, side=8)`: the path of a model of these layers."""
    import keras

    def write(*layers, side=8):
        model = keras.Sequential([keras.Input((side, side, 3)), *layers, keras.layers.GlobalAveragePooling2D()])
        model.save(tmp_path / "mean.keras")
        return str(tmp_path / "mean.keras")

    return write


def refusal(**requested):
    """Open what can't be opened, and return the error."""
    with pytest.raises(ModelError) as caught:
        open_backbone(BackboneRequest(**requested))
    return caught.value


@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels(pixels, save):
    """--pixels gives the network the range that it names."""
    backbone = open_backbone(BackboneRequest(handle=save(), pixels=pixels))
    assert backbone.spec.pixels == pixels
    assert np.allclose(backbone.call(IMAGES), PIXELS[pixels](COLOUR), atol=1e-4)


def test_pixels_must_be_known(save):
    """A model that does not rescale its pixels is rejected without --pixels: a wrong range is a silent loss."""
    error = refusal(handle=save())
    assert "none of its layers rescales them by known numbers" in error.message
    assert "`pixels` 0..1, -1..1, 0..255, caffe, torch or clip" in error.hint


def test_rescaling(save):
    """A model that rescales by itself gets 0..255."""
    import keras

    backbone = open_backbone(BackboneRequest(handle=save(keras.layers.Rescaling(1 / 127.5, offset=-1))))
    assert backbone.spec.pixels == "0..255"
    assert np.allclose(backbone.call(IMAGES), [[-0.6, -0.2, 0.2]] * 2, atol=1e-5)


def test_spec(save):
    """The spec has the file's name and path, the model's size and width."""
    handle = save()
    spec = open_backbone(BackboneRequest(handle=handle, pixels="0..1")).spec
    assert (spec.name, spec.handle, spec.dim, spec.image_size) == ("mean", handle, 3, (8, 8))


def test_any_size(save):
    """A model of no fixed size gets 224 pixels, or what --image-size says."""
    request = {"handle": save(side=None), "pixels": "0..1"}
    assert open_backbone(BackboneRequest(**request)).spec.image_size == (224, 224)
    assert open_backbone(BackboneRequest(**request, image_size=64)).spec.image_size == (64, 64)


def test_layer(save):
    """--layer reads a layer of it; the message for an unknown one lists similar names."""
    import keras

    handle = save(keras.layers.Rescaling(2.0, name="doubled"), keras.layers.ReLU(name="positive"))
    backbone = open_backbone(BackboneRequest(handle=handle, layer="doubled", pixels="0..1"))
    assert np.allclose(backbone.call(IMAGES), [2 * COLOUR] * 2, atol=1e-5)
    assert refusal(handle=handle, layer="double").hint == "Similar names: doubled."


def test_flatten(save):
    """--layer NAME:flatten gives maps [h, w, c] as h * w * c numbers in reading order, instead of their mean."""
    import keras

    handle = save(keras.layers.Rescaling(2.0, name="doubled"))
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    backbone = open_backbone(BackboneRequest(handle=handle, layer="doubled:flatten", pixels="0..1"))
    assert (backbone.spec.dim, backbone.spec.layer) == (192, "doubled:flatten")
    assert np.allclose(backbone.call(images), 2 * images.reshape(2, 192), atol=1e-5)
    assert refusal(handle=handle, layer="double:flatten", pixels="0..1").hint == "Similar names: doubled."


def test_input_in_a_list(tf, tmp_path):
    """A model that was made with its one input in a list is called without a warning."""
    import keras

    images = keras.Input((8, 8, 3))
    keras.Model([images], [keras.layers.GlobalAveragePooling2D()(images)]).save(tmp_path / "mean.keras")
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "mean.keras"), pixels="0..1"))
    assert np.allclose(backbone.call(IMAGES), [COLOUR] * 2, atol=1e-5)


def test_several_inputs_or_outputs(tf, tmp_path):
    """Of several outputs one must be named; several inputs are too many."""
    import keras

    images, path = keras.Input((8, 8, 3), name="images"), str(tmp_path / "net.keras")
    means = [keras.layers.GlobalAveragePooling2D(name=name)(images) for name in ("one", "two")]
    keras.Model(images, means).save(path)
    assert "several outputs: one, two." in refusal(handle=path, pixels="0..1").message
    assert open_backbone(BackboneRequest(handle=path, pixels="0..1", layer="two")).spec.dim == 3
    shift = keras.Input((3,))
    keras.Model([images, shift], keras.layers.Add()([means[0], shift])).save(path)
    assert "has 2 inputs" in refusal(handle=path, pixels="0..1").message


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 4), (None, None, 2), (192,), (8, 24), (2, 8, 8, 3)], ids=str)
def test_inputs_that_are_no_images_of_three_colours(shape, tf, tmp_path):
    """A model of grey images, of four channels, or of no images at all is rejected by its input's shape."""
    import keras

    images = keras.Input(shape)
    keras.Model(images, keras.layers.Identity()(images)).save(tmp_path / "net.keras")
    error = refusal(handle=str(tmp_path / "net.keras"), pixels="0..1")
    assert f"net takes inputs of the shape {shape}; images are [H, W, 3]." in error.message
    assert "image-size" not in error.hint


@pytest.mark.parametrize("layer", ["Lambda", "TFSMLayer"])
def test_code_is_not_run(layer, tf, tmp_path):
    """A model that would run code of its own is rejected, with the way out that its maker has."""
    import keras

    images = keras.Input((8, 8, 3))
    mean = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    mean.export(tmp_path / "mean", verbose=False)
    code = {"Lambda": {"function": lambda images: images}, "TFSMLayer": {"filepath": str(tmp_path / "mean")}}
    path = str(tmp_path / "net.keras")
    keras.Model(images, getattr(keras.layers, layer)(**code[layer])(images)).save(path)
    error = refusal(handle=path, pixels="0..1")
    assert error.message.startswith(f"{path} contains code, and a .keras file is never trusted to run code: ")
    assert re.search(rf"deserialization of a `{layer}`[^.]*\.$", error.message)
    assert "model.export('FOLDER')" in error.hint


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_no_model(content, tmp_path):
    """A file that is missing or holds no model is rejected, by its name."""
    path = tmp_path / "net.keras"
    if content is not None:
        path.write_bytes(content)
    error = refusal(handle=str(path), pixels="0..1")
    assert str(path) in error.message
    assert error.hint


@pytest.fixture(params=["sequential", "functional"])
def transfer(request, tf, tmp_path):
    """The usual file of transfer learning, a base within a model, and what its layer `high` gives for IMAGES."""
    import keras

    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    high = layers.Conv2D(5, 3, name="high")(layers.Conv2D(4, 3, name="low")(pixels))
    base = keras.Model(pixels, layers.ReLU(name="last")(high), name="base")
    images = keras.Input((8, 8, 3))
    top = [layers.GlobalAveragePooling2D(name="mean"), layers.Dense(2, name="classes")]
    if request.param == "sequential":
        model = keras.Sequential([images, layers.Rescaling(1 / 127.5, -1), base, *top])
    else:
        model = keras.Model(images, top[1](top[0](base(layers.Rescaling(1 / 127.5, -1)(images)))))
    model.save(tmp_path / "transfer.keras")
    return str(tmp_path / "transfer.keras"), keras.Model(pixels, high)(IMAGES * 2 - 1).numpy().mean((1, 2)), base


def test_layers_of_a_base(transfer):
    """Layers of a model within the model are reached as BASE/LAYER, and the base itself by its name."""
    handle, high, base = transfer
    assert np.allclose(open_backbone(BackboneRequest(handle=handle, layer="base/high")).call(IMAGES), high, atol=1e-5)
    expected = base(IMAGES * 2 - 1).numpy().mean((1, 2))
    assert np.allclose(open_backbone(BackboneRequest(handle=handle, layer="base")).call(IMAGES), expected, atol=1e-5)
    flat = open_backbone(BackboneRequest(handle=handle, layer="base/high:flatten"))
    assert flat.call(IMAGES).shape == (2, 4 * 4 * 5)


@pytest.mark.parametrize(
    ("layer", "hint"),
    [
        ("high", "Similar names: base/high."),
        ("base/hihg", "Similar names: base/high"),
        ("mean/high", "Similar names: base/high"),
    ],
)
def test_no_layer_of_a_base(layer, hint, transfer):
    """A layer that does not exist is rejected with the paths that are near it."""
    assert refusal(handle=transfer[0], layer=layer).hint.startswith(hint)


def test_whole_h5(tf, tmp_path):
    """An older `.h5` file of a whole model is read as a `.keras` file is; one of weights alone says what is missing."""
    import keras

    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.save(tmp_path / "net.h5")
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net.h5")))
    assert backbone.spec.pixels == "0..255"
    assert np.allclose(backbone.call(IMAGES), model(IMAGES * 255), atol=1e-5)
    model.save_weights(tmp_path / "net.weights.h5")
    error = refusal(handle=str(tmp_path / "net.weights.h5"))
    assert "holds weights, but no model" in error.message
    assert "`backbone='keras:NAME', weights=" in error.hint


def test_h5_runs_no_code(tf, tmp_path):
    """A Lambda layer in an `.h5` file is rejected as one in a `.keras` file is."""
    import keras

    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda images: 2 * images)]).save(tmp_path / "net.h5")
    assert "contains code" in refusal(handle=str(tmp_path / "net.h5"), pixels="0..1").message

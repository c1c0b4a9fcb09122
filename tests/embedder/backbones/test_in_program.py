"""Networks of the running program: the network called by hand is the judge."""

import dataclasses

import numpy as np
import pytest

import frieze
from frieze.core import InputError, MismatchError, ModelError, import_keras
from frieze.embedder import BackboneRequest, as_backbone, embed_images, open_backbone
from frieze.embedder.backbones import in_program
from frieze.features import open_features, read_manifest


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Networks of this test alone."""
    monkeypatch.setattr(in_program, "_REGISTRY", {})


def means(images):
    """Embed an image by its mean colour and its brightest pixel: NumPy's float32 [B, H, W, 3] -> [B, 4]."""
    return np.concatenate([images.mean((1, 2)), images.max((1, 2))[:, :1]], axis=1)


@pytest.fixture
def pixels(photo):
    """A picture."""
    return np.asarray(photo(1, 20, 20))


def test_function(pixels):
    """A function of NumPy embeds pixels in [0, 1], at the size that is asked for."""
    backbone = open_backbone(BackboneRequest(handle=as_backbone(means, fingerprint="v1"), image_size=20))
    assert (backbone.spec.name[:6], backbone.spec.dim, backbone.spec.pixels) == ("means-", 4, "0..1")
    assert np.allclose(embed_images([pixels], backbone)[0], means(pixels[None] / 255)[0], atol=1e-6)


def test_function_of_tensorflow(pixels, tf):
    """A function of TensorFlow does as well."""
    function = tf.function(lambda images: tf.reduce_mean(images, (1, 2)))
    backbone = open_backbone(BackboneRequest(handle=as_backbone(function, fingerprint="v1"), image_size=20))
    assert np.allclose(embed_images([pixels], backbone)[0], pixels.mean((0, 1)) / 255, atol=1e-6)


def test_model(photo, small_network):
    """A Keras model is called as it is, and a layer of it can be read."""
    model, _ = small_network
    pixels = np.asarray(photo(1, 32, 32))
    request = BackboneRequest(handle=as_backbone(model), pixels="0..1")
    expected = model(pixels[None].astype(np.float32) / 255).numpy()
    assert np.allclose(embed_images([pixels], open_backbone(request)), expected, atol=1e-5)
    assert open_backbone(dataclasses.replace(request, layer="first")).spec.dim == 6


def test_embed(small_network, folder, tmp_path):
    """`frieze.embed` takes a model itself; the same model by its own handle is the same backbone."""
    model, _ = small_network
    first = frieze.embed(folder, out=tmp_path / "t", backbone=model, pixels="0..1")
    assert (first["embedded"], first["dim"]) == (10, 8)
    assert frieze.embed(folder, out=tmp_path / "t", backbone=as_backbone(model))["unchanged"] == 10
    with pytest.raises(InputError, match="no weights"):
        frieze.embed(folder, out=tmp_path / "u", backbone=means)


def test_other_weights(small_network):
    """Another weight is another backbone."""
    import keras

    model, _ = small_network
    other = keras.models.clone_model(model)
    assert as_backbone(other) != as_backbone(model)


def test_table(folder, embed, out, registry):
    """A table is resumed with the same network; a program that has not registered it is told to."""
    handle = as_backbone(means, fingerprint="v1")
    assert embed(folder, out, backbone=handle)["embedded"] == 10
    assert open_features(out).embeddings().shape == (10, 4)
    assert embed(folder, out, backbone=handle)["unchanged"] == 10
    with pytest.raises(MismatchError, match="fingerprint"):
        embed(folder, out, backbone=as_backbone(means, fingerprint="v2"))
    in_program._REGISTRY.clear()
    with pytest.raises(ModelError, match="can't be opened from disk"):
        open_backbone(BackboneRequest.of(read_manifest(out).spec))


def test_refused():
    """A function needs a fingerprint, and what is no network is refused."""
    with pytest.raises(InputError, match="no weights"):
        as_backbone(means)
    with pytest.raises(InputError, match="int is no backbone"):
        as_backbone(3)
    with pytest.raises(InputError, match="no layers"):
        open_backbone(BackboneRequest(handle=as_backbone(means, fingerprint="v1"), layer="top"))


def keras_clone(model):
    """Return a copy of a model, which a test may change."""
    return import_keras().models.clone_model(model)


def test_weights_that_changed_since(small_network):
    """A model that was trained since it was registered is refused: its table has vectors of the old weights."""
    network = keras_clone(small_network[0])
    handle = as_backbone(network)
    open_backbone(BackboneRequest(handle=handle, pixels="0..1"))
    network.set_weights([weights + 1 for weights in network.get_weights()])
    with pytest.raises(ModelError, match="other weights than when it was registered"):
        open_backbone(BackboneRequest(handle=handle))
    assert as_backbone(network) != handle


@pytest.mark.parametrize(("function", "shape"), [(lambda images: images, r"\[1, 9, 9, 3\]"), (lambda _: None, r"\[\]")])
def test_a_function_that_returns_no_vectors(function, shape):
    """A function that does not return a vector of each image is refused with the shape that it returns."""
    request = BackboneRequest(handle=as_backbone(function, fingerprint="v1"), image_size=9)
    with pytest.raises(ModelError, match=f"it returns the shape {shape}"):
        open_backbone(request)


@pytest.mark.parametrize("least", [1, 3])
def test_a_function_that_fails(pixels, least):
    """Its error names function and batch, and keeps the cause: at once, and later within the graph."""

    def fails(images):
        if len(images) >= least:
            raise RuntimeError("no device")
        return images.mean((1, 2))

    request = BackboneRequest(handle=as_backbone(fails, fingerprint="v1"), image_size=20)
    with pytest.raises(
        ModelError, match=rf"function fails fails on a batch of the shape \[{least}, 20, 20, 3\]"
    ) as error:
        embed_images([pixels, 255 - pixels, pixels[::-1]], open_backbone(request))
    assert isinstance(error.value.__cause__, RuntimeError)

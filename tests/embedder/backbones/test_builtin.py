import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones.catalogue import BUILTIN_FILE, BUILTIN_MODEL


def pictures():
    """Draw two smooth pictures, uint8 [2, 128, 128, 3]: always the same ones."""
    coarse = np.random.default_rng(3).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((128, 128), Image.Resampling.BILINEAR)) for one in coarse])


def test_spec(opened):
    """The version stands in the name, and name and fingerprint are fixed."""
    spec = opened("builtin").spec
    assert (spec.name, spec.dim, spec.image_size, spec.pixels) == (
        "frieze-mini-3",
        BUILTIN_MODEL.dim,
        (128, 128),
        "0..1",
    )
    assert spec.fingerprint == "d80fb0aefbe16a09e4c39135717a2089e8551e20ef1bbea02cd207557b97f172"


def test_golden(opened):
    """Its numbers never change under one name: stored tables of all users rest on them."""
    embeddings = opened("builtin").call(np.float32(pictures()) / 255).numpy()
    assert embeddings[:, [0, 1, 100, 255]].ravel().tolist() == pytest.approx(
        [-0.13012, -0.16321, 0.00878, -0.11977, -0.21842, -0.16193, 0.08934, 0.00949], abs=1e-4
    )


def test_agrees_with_keras_layers(opened):
    """What runs without Keras is what Keras makes of the file."""
    images = np.float32(pictures()) / 255
    ours, theirs = opened("builtin").call(images).numpy(), open_backbone(BackboneRequest()).model(images).numpy()
    assert ours == pytest.approx(theirs, abs=1e-5 * float(np.abs(theirs).max()))


def test_size():
    """Its file stays below 2.5 MB, with weights in float16, and has the stated number of parameters."""
    assert BUILTIN_FILE.stat().st_size <= 2.5e6
    stored = []
    with zipfile.ZipFile(BUILTIN_FILE) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda _, item: stored.append(item.dtype) if isinstance(item, h5py.Dataset) else None)
    assert set(stored) == {np.dtype(np.float16)}
    assert open_backbone(BackboneRequest()).model.count_params() == BUILTIN_MODEL.n_parameters


def test_holds_no_code():
    """Its file is layers of Keras's own and arrays: nothing in it names a class of anybody else's."""
    with zipfile.ZipFile(BUILTIN_FILE) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert {layer["module"] for layer in layers} == {"keras.layers"}


def test_layer(opened):
    """A layer can be read in its place: the averaged maps of three depths, 480 + 64 + 128 numbers."""
    assert opened("builtin", layer="pooled").spec.dim == 672


@pytest.mark.parametrize("side_px", [64, 256])
def test_one_size_only(side_px):
    """It is made for one size; another is rejected."""
    with pytest.raises(ModelError, match=f"images of {side_px} x {side_px} pixels(?s:.)*It was made for 128 x 128"):
        open_backbone(BackboneRequest(image_size=side_px))

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from frieze.core import InputError, MismatchError, ModelError
from frieze.embedder import BackboneRequest, list_backbones, open_backbone, reopen_backbone
from frieze.embedder.backbones.catalogue import APPLICATIONS
from frieze.embedder.backbones.open import conversion_hint
from frieze.features import BackboneSpec

_NO_CODE = "it runs only code of Frieze, Keras or OpenVINO."


def test_builtin_is_the_default(opened):
    """Nothing requested is the built-in network."""
    assert BackboneRequest().handle == "builtin"
    assert opened("builtin").spec.name == "frieze-mini-3"


@pytest.mark.parametrize(
    ("handle", "near"), [("nowhere/at/all", None), ("mobilenet", "keras:MobileNet"), ("builtn", "builtin")]
)
def test_unknown_handle(handle, near):
    """A handle of no known kind is rejected, with the list of what there is and the name that is near."""
    with pytest.raises(ModelError, match=f"{handle} is no backbone") as caught:
        open_backbone(BackboneRequest(handle=handle))
    assert caught.value.hint == f"Did you mean {near}? " * bool(near) + "See: frieze backbones"


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"weights": "imagenet"}, "`weights` does not go with builtin: its weights are in it."),
        ({"image_size": 0}, "`image_size` is 0."),
        ({"layer": "edges"}, "frieze-mini-3 has no layer edges."),
        ({"fit": "stretch"}, "Unknown `fit`: stretch."),
        ({"handle": "net.keras", "pixels": "0..2"}, "Unknown `pixels`: 0..2."),
        ({"pixels": "0..1"}, "builtin has its own preprocessing."),
        ({"handle": "keras:VGG16", "pixels": "0..1"}, "keras:VGG16 has its own preprocessing."),
        *(
            ({"handle": handle, "trust": True}, f"`trust_backbone` does not go with {handle}: {_NO_CODE}")
            for handle in ("builtin", "keras:VGG16", "net.keras")
        ),
    ],
)
def test_options_that_do_not_fit(requested, message):
    """An option that is unknown, or does not go with the backbone, is rejected before anything is loaded."""
    with pytest.raises(InputError) as caught:
        open_backbone(BackboneRequest(**requested))
    assert caught.value.message == message
    assert caught.value.hint


def test_pixels_of_a_saved_model(tiny, opened, module):
    """--pixels goes before a hub module's [0, 1]."""
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    backbone = opened(str(tiny), pixels="-1..1")
    assert backbone.spec.pixels == "-1..1"
    assert np.allclose(backbone.call(images), module(2 * images - 1), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"fit": "crop"}, {"pixels": "-1..1"}])
def test_reopened(options, tiny, opened):
    """A stored spec brings its own backbone back, with every option."""
    spec = opened(str(tiny), **options).spec
    assert reopen_backbone(BackboneSpec.from_json(spec.to_json()), where="the table").spec == spec


def test_reopened_application(small_network, small_application, monkeypatch, tmp_path):
    """So does that of a Keras application with a layer and a file of weights, also from another folder."""
    monkeypatch.chdir(small_network[1])
    request = BackboneRequest(handle=small_application, weights="small.keras", layer="first", image_size=40)
    spec = open_backbone(request).spec
    monkeypatch.chdir(tmp_path)
    assert reopen_backbone(spec, where="the table").spec == spec
    assert spec.weights == str(small_network[1] / "small.keras")


def test_replaced_network(tiny, opened):
    """A network that was exchanged under the same path is rejected, and both fingerprints are named."""
    spec = dataclasses.replace(opened(str(tiny)).spec, fingerprint="0" * 64)
    with pytest.raises(MismatchError, match=rf"fingerprint: \w+ here, 0+ there(?s:.)*Put the first one back at {tiny}"):
        reopen_backbone(spec, where="the table")


def test_another_built_in(opened):
    """A table of an older built-in network says that another Frieze made it: nobody can put that one back."""
    spec = dataclasses.replace(opened("builtin").spec, fingerprint="0" * 64)
    with pytest.raises(MismatchError, match="Another Frieze made it: embed again"):
        reopen_backbone(spec, where="the table")


def test_list():
    """The list has the built-in one and every Keras application, with what one needs to choose."""
    rows = {row["handle"]: row for row in list_backbones()}
    assert list(rows) == ["builtin", *(f"keras:{name}" for name in APPLICATIONS)]
    assert rows["builtin"]["dim"] == 256
    assert rows["keras:MobileNetV2"] == {
        "handle": "keras:MobileNetV2",
        "dim": 1280,
        "image_size": 224,
        "parameters": 2_257_984,
        "pixels": "-1..1",
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("net.pt", "with torch.onnx.export, as docs/howto.md shows, then: `backbone='{folder}/net.onnx'`"),
        ("net.PTH", "frieze import VECTORS.npy"),
        ("net.safetensors", "torch.onnx.export"),
        ("net.tflite", "give the SavedModel or .keras file"),
        ("saved_model.pb", "`backbone='{folder}'`"),
        ("net.tar.gz", "mkdir {folder}/net; tar xf {folder}/net.tar.gz -C {folder}/net"),
        ("net.json", "model.save('NAME.keras')"),
    ],
)
def test_conversion_hint(name, says, tmp_path):
    """A file of another program's is rejected with how to convert it."""
    (tmp_path / name).write_bytes(b"some")
    with pytest.raises(ModelError, match="is no backbone") as caught:
        open_backbone(BackboneRequest(handle=str(tmp_path / name)))
    assert says.format(folder=tmp_path) in caught.value.hint


def test_no_conversion_hint():
    """A name of no known suffix gets no such advice; a path with a space is quoted."""
    assert conversion_hint(Path("mobilenet")) is None
    assert "tar xf 'my nets/a b.tar' -C 'my nets/a b'" in str(conversion_hint(Path("my nets/a b.tar")))

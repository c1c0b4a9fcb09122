"""Views of an image: the module called on each view by hand is the judge."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from frieze.core import InputError, MismatchError
from frieze.embedder import BackboneRequest, embed_images, open_backbone, reopen_backbone, spot_check
from frieze.embedder.backbones.trainable import open_trainable
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.base import ENGINES
from frieze.features import BackboneSpec, check_same_backbone, open_features


@pytest.fixture
def by_hand(module, tf):
    """`by_hand(views, pixels)`: the mean of the unit vectors of the views of one image, uint8 [32, 32, 3]."""

    def embed(views, pixels):
        image = pixels.astype(np.float32)[None] / 255
        corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
        crops = [tf.image.resize(image[:, top : top + 28, left : left + 28], (32, 32)).numpy() for top, left in corners]
        seen = {"flip": [image, image[:, :, ::-1]], "five-crop": crops}[views]
        vectors = np.stack([module(tf.constant(np.ascontiguousarray(view))).numpy()[0] for view in seen])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)

    return embed


@pytest.fixture
def with_views(tiny, opened, needs_openvino):
    """`with_views(views)`: the tiny network with views."""
    return lambda views: opened(str(tiny), views=views)


@pytest.fixture
def pixels(photo):
    """Three pictures, uint8 [3, 32, 32, 3]."""
    return np.stack([np.asarray(photo(seed, 32, 32)) for seed in range(3)])


@pytest.mark.parametrize("views", ["flip", "five-crop"])
@pytest.mark.parametrize("engine", ENGINES)
def test_mean_of_unit_vectors(views, engine, with_views, by_hand, pixels):
    """Every engine gives the mean of the unit vectors of an image's views."""
    made = ENGINES[engine](with_views(views), EngineSettings(devices=("CPU:0",)))
    expected = [by_hand(views, one) for one in pixels]
    assert np.allclose(made.infer(pixels), expected, atol=1e-5)


def test_mirror_images_are_alike(tiny, opened, pixels):
    """By `flip` an image and its mirror image have the same vector; alone they have not."""
    images = [Image.fromarray(pixels[0]), Image.fromarray(np.ascontiguousarray(pixels[0][:, ::-1]))]
    one, mirrored = embed_images(images, opened(str(tiny), views="flip"))
    alone = embed_images(images, opened(str(tiny)))
    assert np.allclose(one, mirrored, atol=1e-5)
    assert not np.allclose(*alone, atol=1e-2)


def test_a_table_keeps_its_views(folder, tiny, embed, out, opened):
    """A table's views belong to it: its backbone is reopened with them, and a check embeds by them."""
    from frieze.embedder import JobOptions, embed_source

    request = BackboneRequest(handle=str(tiny), views="flip")
    embed_source(folder, out, request=request, options=JobOptions(shard_size=4))
    table = open_features(out)
    assert reopen_backbone(table.spec, where="").spec.views == "flip"
    assert spot_check(table, n=10)["drifted"] == []
    assert embed_source(folder, out, request=request, options=JobOptions())["unchanged"] == 10
    with pytest.raises(MismatchError, match="views: None here, flip there"):
        embed(folder, out)
    with pytest.raises(MismatchError, match="views"):
        check_same_backbone(opened(str(tiny)).spec, table.spec, where="", hint="")


def test_old_specs(opened, tiny):
    """A spec without the field has none, and one without views does not store it."""
    spec = opened(str(tiny)).spec
    assert "views" not in spec.to_json()
    assert BackboneSpec.from_json(spec.to_json()).views is None
    flipped = dataclasses.replace(spec, views="flip")
    assert BackboneSpec.from_json(flipped.to_json()) == flipped


def test_old_requests_are_the_same(tiny):
    """A table that is older than the option is resumed without a look at the backbone."""
    request = BackboneRequest(handle=str(tiny))
    stored = {name: value for name, value in request.to_json().items() if name != "views"}
    assert request.is_same_as(stored)
    assert not dataclasses.replace(request, views="flip").is_same_as(stored)


@pytest.mark.parametrize("views", [None, "flip"])
def test_kept_graphs_differ(views, tiny, needs_openvino, tmp_path, monkeypatch):
    """The compiled graph of a network with views is kept beside that without, and each is found again."""
    from frieze.embedder import default_engine, has_graph
    from frieze.embedder.backbones import kept_graph

    monkeypatch.setattr(kept_graph, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr("frieze.embedder.engines.keep_graph.is_writable", lambda: True)
    backbone = open_backbone(BackboneRequest(handle=str(tiny), views=views))
    default_engine(backbone)
    other = dataclasses.replace(backbone.spec, views="five-crop")
    assert (has_graph(backbone.spec), has_graph(other)) == (True, False)


def test_refused(tiny):
    """Unknown views are refused, and so is fine-tuning on views."""
    with pytest.raises(InputError, match="Unknown `views`: ten-crop"):
        open_backbone(BackboneRequest(handle=str(tiny), views="ten-crop"))
    with pytest.raises(InputError, match="fine-tuned on whole images"):
        open_trainable(BackboneRequest(handle=str(tiny), views="flip"))

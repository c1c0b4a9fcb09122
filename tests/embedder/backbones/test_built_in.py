import numpy as np
import pytest

from embedder import BackboneRequest, open_backbone
from features import ModelError


@pytest.fixture
def describe(opened):
    """Images float [B, 128, 128, 3] in [0, 1] -> their descriptors, edges [B, 512] and colours [B, 384] apart."""
    return lambda images: np.split(opened("builtin").call(np.asarray(images, np.float32)).numpy(), [512], axis=1)


def ramps():
    """Draw a fixed picture: red grows to the right, green downwards, blue along rings."""
    y, x = np.mgrid[0:128, 0:128] / 127
    return np.stack([x, y, 0.5 + 0.5 * np.sin(20 * np.hypot(x - 0.5, y - 0.5))], axis=-1)


def plain(*colour):
    """Draw a picture of one colour."""
    return np.broadcast_to(np.array(colour, float), (128, 128, 3))


def test_spec(opened):
    """The version stands in the name, and name and fingerprint are fixed."""
    spec = opened("builtin").spec
    assert (spec.name, spec.dim, spec.image_size, spec.pixels) == ("frieze-descriptor-1", 896, (128, 128), "0..1")
    assert spec.fingerprint == "76b1268933bef7f0592c3e73edc8ea864985a9786a80af2d45e31c5d341d1d6d"


def test_golden(opened):
    """Its numbers never change under one name: stored tables of all users rest on them."""
    embedding = opened("builtin").call(np.float32(ramps())[None]).numpy()[0]
    some = embedding[[17, 153, 289, 552, 587, 683, 775, 853, 877, 894]].tolist()
    expected = [0.089651, 0.088084, 0.056278, 0.043172, 0.099933, 0.068615, 0.015047, 0.073713, 0.052473, 0.073657]
    assert some == pytest.approx(expected, abs=1e-5)
    assert embedding.sum() == pytest.approx(30.4907, abs=5e-4)


def test_length(describe):
    """Edges and colours weigh the same in every picture that has both: each half has unit length."""
    for half in describe([ramps(), ramps()[::-1] ** 2]):
        assert np.linalg.norm(half, axis=1) == pytest.approx([1, 1], abs=1e-3)


def test_colours(describe, cosines):
    """Red and blue share no colour, and have the same edges: none."""
    edges, colours = describe([plain(1, 0, 0), plain(0, 0, 1)])
    assert cosines(edges[:1], edges[1:])[0] == pytest.approx(1)
    assert cosines(colours[:1], colours[1:])[0] < 0.5


def test_edges(describe, cosines):
    """Upright and lying stripes differ in edges, not in colours; moved a little, stripes stay what they are."""
    upright = np.broadcast_to(np.arange(128)[None, :, None] // 8 % 2, (128, 128, 3))
    edges, colours = describe([upright, upright.transpose(1, 0, 2), np.roll(upright, 3, axis=1)])
    assert cosines(edges[:1], edges[1:2])[0] < 0.65
    assert cosines(edges[:1], edges[2:])[0] > 0.95
    assert cosines(colours[:1], colours[1:2])[0] > 0.95


def test_light(describe, cosines):
    """Half the light leaves the edges as they are."""
    edges, _ = describe([ramps(), ramps() / 2])
    assert cosines(edges[:1], edges[1:])[0] > 0.99


def test_place(describe, cosines):
    """Where a colour is counts: a picture upside down is another one."""
    _, colours = describe([ramps(), ramps()[::-1]])
    assert cosines(colours[:1], colours[1:])[0] < 0.9


@pytest.mark.parametrize("side_px", [64, 256])
def test_one_size_only(side_px):
    """It is made for one size; another is refused."""
    with pytest.raises(ModelError, match=f"images of {side_px} x {side_px} pixels(?s:.)*It was made for 128 x 128"):
        open_backbone(BackboneRequest(image_size=side_px))

import numpy as np
import pytest
from PIL import Image

from frieze.embedder import BackboneRequest, SourceOptions, draw_sample, open_source, try_backbones
from frieze.embedder.job.try_backbones import CROP_SHARE, crop_images, images_per_second
from frieze.features import open_features


@pytest.fixture
def requests(tiny, save_tiny, tmp_path):
    """Two networks."""
    other = save_tiny(tmp_path / "other", seed=5)
    return [BackboneRequest(handle=str(tiny)), BackboneRequest(handle=str(other), fit="crop")]


def test_vectors_of_a_table(folder, requests, embed, out):
    """A sample has the vectors that `embed` stores, and a crop of each where asked for."""
    source = open_source(folder, SourceOptions())
    tried = try_backbones(source, np.arange(0, 10, 2), requests, crops_seed=0)
    embed(folder, out)
    stored = open_features(out).embeddings()[::2]
    first, second = tried.backbones
    assert np.allclose(first.embeddings, stored, atol=1e-4)
    assert tried.images["id"].to_pylist() == [f"{name}.jpg" for name in "acegi"]
    assert first.crops.shape == second.embeddings.shape == (5, 16)
    assert not np.allclose(first.embeddings, second.embeddings, atol=1e-2)
    assert first.images_per_second > 0


def test_unusable_and_equal_images(folder, requests):
    """Broken images are counted, and equal bytes count once."""
    (folder / "c.jpg").write_bytes(b"")
    (folder / "d.jpg").write_bytes((folder / "a.jpg").read_bytes())
    tried = try_backbones(open_source(folder, SourceOptions()), np.arange(10), requests)
    assert (tried.n_failed, tried.backbones[0].crops) == (1, None)
    assert tried.images["id"].to_pylist() == [f"{name}.jpg" for name in "abefghij"]


def test_crops():
    """A crop is the enlarged window that the seed draws, at the same place for every size."""
    ramp = np.broadcast_to(np.arange(0, 200, 5, dtype=np.uint8)[None, :, None], (3, 40, 40, 3))
    crops, same = crop_images(ramp, seed=3), crop_images(ramp, seed=3)
    spans = crops[:, 20, -1, 0].astype(int) - crops[:, 20, 0, 0]
    half = crop_images(np.ascontiguousarray(ramp[:, ::2, ::2]), seed=3)
    assert np.array_equal(crops, same)
    assert spans == pytest.approx(CROP_SHARE * 195, abs=8)
    assert np.abs(half[:, 10, 10, 0].astype(int) - crops[:, 20, 20, 0]).max() <= 6
    assert Image.fromarray(crops[0]).size == (40, 40)


def test_labels_keep_their_shares():
    """The draw has of each label about its share of the images, and the same images for the same seed."""
    labels = ["a"] * 60 + ["b"] * 30 + [None] * 10
    rows = draw_sample(labels, 20, seed=1)
    drawn = [labels[row] for row in rows]
    assert [drawn.count(label) for label in ("a", "b", None)] == [12, 6, 2]
    assert draw_sample(labels, 20, seed=1).tolist() == rows.tolist() != draw_sample(labels, 20, seed=2).tolist()
    assert draw_sample(labels, 100, seed=1).tolist() == list(range(100))


def test_rate_of_a_run():
    """On a CPU decoding and the network share the cores, as a run's bound is computed."""
    assert images_per_second(0.0, 50.0) == pytest.approx(50.0)
    assert images_per_second(1e9, 50.0) < 1e-6

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import frieze
from frieze.core import InputError
from frieze.embedder import BackboneRequest, ImageEmbedder, embed_images, open_backbone


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve noisy images as files, six reddish and then six bluish."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(12):
        colour = (200, 40, 40) if number < 6 else (40, 40, 200)
        pixels = np.clip(np.array(colour) + rng.normal(0, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return sorted(folder.iterdir())


def test_same_vectors(photos):
    """Paths, PIL images and arrays give the vectors of the backbone."""
    expected = embed_images(photos, open_backbone(BackboneRequest()))
    pictures = [Image.open(path) for path in photos]
    stack = np.stack([np.asarray(one) for one in pictures])
    for images in (photos, [str(path) for path in photos], np.array(photos, dtype=object), pictures, stack):
        assert np.allclose(ImageEmbedder().transform(images), expected, atol=1e-4)


def test_clones_and_pickles(photos, residual):
    """A clone and a pickle hold the parameters alone, and embed the same; names of columns count them."""
    embedder = ImageEmbedder(str(residual), layer="low_relu", pool="max", pixels="0..255")
    data = pickle.dumps(embedder)
    unpickled = clone(pickle.loads(data))  # noqa: S301  our own
    assert np.array_equal(unpickled.transform(photos[:2]), embedder.transform(photos[:2]))
    assert len(data) < 500
    assert embedder.get_feature_names_out().tolist() == [f"imageembedder{n}" for n in range(8)]


def test_more_than_a_batch(photos, monkeypatch):
    """The size of a batch does not matter; none at all are an array without rows."""
    monkeypatch.setattr("frieze.embedder.job.single_images._BATCH", 5)
    assert np.allclose(
        ImageEmbedder().transform(photos), embed_images(photos, open_backbone(BackboneRequest())), atol=1e-4
    )
    assert ImageEmbedder().transform([]).shape == (0, 256)


def test_broken_image(photos, tmp_path):
    """An image that can't be used is named."""
    (tmp_path / "broken.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"broken\.jpg can't be used"):
        ImageEmbedder().transform([photos[0], tmp_path / "broken.jpg"])
    with pytest.raises(InputError, match="image 1 can't be used"):
        ImageEmbedder().transform([photos[0].read_bytes(), b"no image"])


def test_grid_search(photos, residual):
    """A grid of backbones and heads is searched as in docs/howto.md."""
    labels = ["red"] * 6 + ["blue"] * 6
    pipeline = make_pipeline(frieze.ImageEmbedder(), frieze.HeadClassifier())
    grid = {"imageembedder__backbone": ["builtin", str(residual)], "headclassifier__kind": ["linear", "knn"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit([str(path) for path in photos], labels)
    assert search.best_score_ == 1
    assert search.predict(photos[::6]).tolist() == ["red", "blue"]

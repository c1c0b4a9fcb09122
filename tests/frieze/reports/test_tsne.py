"""t-SNE: the judges are the plain sum over all pairs and scikit-learn's trustworthiness."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from frieze.core import unit_rows
from frieze.reports import projection, tsne


def clusters(n, *, n_clusters=10, dim=16):
    """Return n unit vectors around some middles, and the number of each one's middle."""
    rng = np.random.default_rng(0)
    middles = unit_rows(rng.normal(size=(n_clusters, dim)).astype(np.float32))
    codes = np.arange(n) % n_clusters
    return unit_rows(middles[codes] + 0.08 * rng.normal(size=(n, dim)).astype(np.float32)), codes


def test_forces_are_those_of_all_pairs():
    """The repulsion on the grid is, to a seventh, the sum over all pairs."""
    positions = np.random.default_rng(0).normal(scale=6, size=(400, 2)).astype(np.float32)
    apart = positions[:, None] - positions
    near = 1 / (1 + (apart**2).sum(axis=2))
    expected = (near[..., None] ** 2 * apart).sum(axis=1) / (near.sum() - len(positions))
    actual = tsne._Repulsion().forces(positions)
    assert np.linalg.norm(actual - expected) < 0.15 * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def laid_out():
    """Clusters, the number of each row's, and their points by t-SNE."""
    vectors, codes = clusters(300)
    return vectors, codes, projection.project(vectors, np.arange(300), method="tsne")


def test_neighbours_stay_near(laid_out):
    """Neighbours stay together where PCA's plane has no room for them."""
    vectors, _, points = laid_out
    by_pca = projection.project(vectors, np.arange(300), method="pca")
    assert trustworthiness(vectors, points.positions) > max(0.93, trustworthiness(vectors, by_pca.positions) + 0.05)
    assert (points.method, points.kept) == ("tsne", None)
    assert 0 <= points.positions.min() <= points.positions.max() <= 1


def test_it_is_the_same_every_time(laid_out):
    """The same vectors have the same points."""
    vectors, _, points = laid_out
    assert (projection.project(vectors, np.arange(300), method="tsne").positions == points.positions).all()


def test_others_are_placed_among_their_neighbours(monkeypatch):
    """Of more vectors than are laid out the others lie in their own cluster, and what is laid out does not move."""
    vectors, codes = clusters(400)
    monkeypatch.setattr(projection, "MOST_LAID_OUT", 300)
    monkeypatch.setattr(projection, "_N_LISTS", 4)
    positions = projection.project(vectors, np.arange(400), method="tsne").positions
    others = np.setdiff1d(np.arange(400), projection.choose_rows(400, most=300))
    middles = np.stack([np.median(positions[codes == code], axis=0) for code in range(10)])
    nearest = np.linalg.norm(positions[others, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == codes[others]).mean() > 0.95


@pytest.mark.parametrize("vectors", [np.eye(49, dtype=np.float32), np.ones((60, 4), np.float32)])
def test_what_has_no_neighbours_is_projected_by_pca(vectors):
    """Fewer than 50 images, and images that are all alike, are projected by PCA, which the result says."""
    points = projection.project(vectors, np.arange(len(vectors)), method="tsne")
    assert points.method == "pca"
    assert np.isfinite(points.positions).all()


def test_equal_vectors_part():
    """A hundred copies of one image among others leave no point undefined."""
    vectors, _ = clusters(120)
    vectors[20:] = vectors[20]
    assert np.isfinite(projection.project(vectors, np.arange(120), method="tsne").positions).all()

import numpy as np
import pytest

from tools.distill.whitening import whitening


@pytest.fixture
def views():
    """Return images and two crops of each, float32 [2000, 8]; they differ by 0, and .5 to 8, along random axes."""
    rng = np.random.default_rng(0)
    spread = np.sqrt(np.float32([0, 0.5, 1, 2, 3, 4, 6, 8])) / 100
    axes, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    whole = rng.normal(size=(2000, 8)).astype(np.float32)
    return whole, [whole + np.float32(rng.normal(size=(2000, 8)) * spread @ axes.T) for _ in range(2)], axes


def variances(whole, crops, change):
    """Return by how much a crop differs from its image, along the axes of that, ascending."""
    changes = np.concatenate([crop - whole for crop in crops]) @ change
    return np.linalg.eigvalsh(changes.T @ changes)


def test_alike_in_all_directions(views):
    """After it, crops differ from their images about as much in each direction in which they differ at all."""
    whole, crops, _ = views
    before, after = (variances(whole, crops, change)[1:] for change in (np.eye(8), whitening(whole, crops)))
    assert before[-1] > 12 * before[0]
    assert after[-1] < 2 * after[0]


def test_what_hardly_varies_is_not_blown_up(views):
    """A direction in which nothing differs grows by the root of ten at most."""
    whole, crops, axes = views
    assert np.linalg.norm(whitening(whole, crops) @ axes[:, 0]) == pytest.approx(10**0.5, rel=0.01)

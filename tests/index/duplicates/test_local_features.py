"""Local features: those of a mirror image, and which of them are taken for matches."""

import numpy as np
import pytest

from benchmarks.search.made_images import photograph
from frieze.indexing.duplicates.alignment import Picture
from frieze.indexing.duplicates.local_features import Features, _match, may_match


def test_features_of_the_mirror_image():
    """They are those that are found in the mirror image itself, with hardly a bit that differs."""
    rgb = np.asarray(photograph(0).resize((192, 144)))
    mirrored, expected = Picture(rgb).features(mirrored=True), Picture(np.ascontiguousarray(rgb[:, ::-1])).features()
    distances = np.linalg.norm(mirrored.places[:, None] - expected.places, axis=2)
    bits = np.bitwise_count(mirrored.descriptors[:, None] ^ expected.descriptors).sum(axis=2)
    nearest = np.where(distances < 0.1, bits, 256).min(axis=1)
    assert len(mirrored.places) == len(mirrored.descriptors) > 100
    assert np.mean(nearest < 8) > 0.99


@pytest.mark.parametrize("mirrored", [False, True])
def test_few_features(mirrored):
    """The few features are some of all, from all levels of the pyramid; of the mirror image only these are computed."""
    picture = Picture(np.asarray(photograph(0).resize((192, 144))))
    few = picture.features(mirrored=mirrored, few=True)
    assert (True, False) not in picture._features
    features = picture.features(mirrored=mirrored)
    points, chosen = (np.column_stack(one[:3]) for one in (features, few))
    rows = [int(np.flatnonzero((points == point).all(axis=1))[0]) for point in chosen]
    assert len(features.places) > 200
    assert len(set(rows)) == 75
    assert set(few.levels) == set(features.levels) == set(range(8))
    np.testing.assert_array_equal(few.descriptors, features.descriptors[rows])


def flip(descriptors, n_bits):
    """Return descriptors of which the first bits are others."""
    bits = np.unpackbits(descriptors, axis=1)
    bits[:, :n_bits] ^= 1
    return np.packbits(bits, axis=1)


@pytest.mark.parametrize(("n_sure", "n_matches"), [(3, 0), (4, 20)])
def test_matches_by_chance(n_sure, n_matches):
    """Where hardly any descriptor is much nearer to its nearest than to the second, none match."""
    descriptors = np.random.default_rng(0).integers(0, 256, (20, 32), np.uint8)
    seconds = np.concatenate([flip(descriptors[:n_sure], 60), flip(descriptors[n_sure:], 50)])
    rows, others = _match(descriptors, np.concatenate([flip(descriptors, 40), seconds]))
    assert rows.tolist() == others.tolist() == list(range(n_matches))


@pytest.mark.parametrize(
    ("n_sure", "apart", "expected"), [(1, 0, False), (2, 14, True), (2, 16, False), (2, 350, True)]
)
def test_first_look(n_sure, apart, expected):
    """Two pictures may be the same where two sure matches of the few features are turned alike."""
    rng = np.random.default_rng(0)
    descriptors, angles = rng.integers(0, 256, (8, 32), np.uint8), rng.uniform(0, 360, 8).astype(np.float32)
    others = np.concatenate([flip(descriptors[:n_sure], 40), rng.integers(0, 256, (20, 32), np.uint8)])
    turned = np.concatenate([(angles[:n_sure] + apart * np.arange(n_sure)) % 360, np.zeros(20)]).astype(np.float32)
    places, levels = np.zeros((28, 2), np.float32), np.zeros(28, np.int64)
    few = Features(places[:8], angles, levels[:8], descriptors)
    assert may_match(few, Features(places[: len(others)], turned, levels[: len(others)], others)) == expected

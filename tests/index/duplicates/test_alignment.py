"""Local features: those of a mirror image, and which of them are taken for matches."""

import numpy as np
import pytest

from benchmarks.search.made_images import photograph
from frieze.indexing.duplicates.alignment import Picture, _match


def test_features_of_the_mirror_image():
    """They are those that are found in the mirror image itself, with hardly a bit that differs."""
    rgb = np.asarray(photograph(0).resize((192, 144)))
    mirrored, expected = Picture(rgb).features(mirrored=True), Picture(np.ascontiguousarray(rgb[:, ::-1])).features()
    distances = np.linalg.norm(mirrored.places[:, None] - expected.places, axis=2)
    bits = np.bitwise_count(mirrored.descriptors[:, None] ^ expected.descriptors).sum(axis=2)
    nearest = np.where(distances < 0.1, bits, 256).min(axis=1)
    assert len(mirrored.places) == len(mirrored.descriptors) > 100
    assert np.mean(nearest < 8) > 0.99


def test_keypoints_are_dropped():
    """Once those of the mirror image are known no keypoints are kept; the features are the same as before."""
    picture = Picture(np.asarray(photograph(0).resize((192, 144))))
    before, mirrored = picture.features(), picture.features(mirrored=True)
    assert len(before.keypoints) == len(before.places)
    assert picture.features().keypoints == mirrored.keypoints == ()
    np.testing.assert_array_equal(picture.features().descriptors, before.descriptors)
    assert picture.features(mirrored=True) is mirrored


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

"""Figures of backbones on the same images: points whose answers are known are the judge."""

import numpy as np
import pytest

from frieze.classifiers import score_labelled, score_unlabelled

LABELS = np.array(["a", "b", "c"] * 20, object)


def points(noise, seed=0):
    """Return a corner a class, with noise: float32 [60, 8]."""
    corners = np.eye(8, dtype=np.float32)[np.unique(LABELS, return_inverse=True)[1]]
    return corners + noise * np.random.default_rng(seed).normal(size=(60, 8)).astype(np.float32)


def test_separable_labels():
    """Classes far apart are told apart by the nearest neighbour and by a linear head, with Wilson's interval."""
    figures = score_labelled(points(0.01), LABELS)
    assert [one["accuracy"] for one in figures.values()] == [1.0, 1.0]
    assert figures["linear"]["confidence_interval"] == pytest.approx([0.94, 1.0], abs=0.01)


def test_each_image_is_judged_by_others():
    """An image is no neighbour of its own, nor fitted on: noise is no better than guessing."""
    figures = score_labelled(points(100.0), LABELS)
    assert all(one["accuracy"] < 0.6 for one in figures.values())


def test_nearest_neighbour_of_a_plain_loop():
    """The nearest neighbour is the other image of the highest cosine."""
    rows = points(0.8)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = unit @ unit.T - 9 * np.eye(60)
    expected = (LABELS[scores.argmax(1)] == LABELS).mean()
    assert score_labelled(rows, LABELS)["nearest_neighbour"]["accuracy"] == expected


def test_too_few_images_of_a_label():
    """Without three images of two labels there is no linear head to judge."""
    assert score_labelled(points(0.1)[:3], LABELS[:3])["linear"] is None


def test_equal_vectors():
    """Many equal vectors have neighbours, too."""
    figures = score_labelled(np.ones((6, 4), np.float32), LABELS[:6])
    assert 0 <= figures["nearest_neighbour"]["accuracy"] <= 1


def test_without_labels():
    """Stability is the share of crops that find their image; agreement that of neighbours in common."""
    rows = points(0.5)
    crops = rows.copy()
    crops[:15] = rows[15:30]  # a quarter finds another image
    first, second = score_unlabelled([rows, 2 * rows], [crops, rows])
    assert (first["stability"]["accuracy"], second["stability"]["accuracy"]) == (0.75, 1.0)
    assert first["agreement"] == second["agreement"] == 1.0
    assert score_unlabelled([rows], [crops])[0]["agreement"] is None


def test_other_neighbours():
    """Backbones that see other neighbours hardly agree."""
    first, _ = score_unlabelled([points(9.0), points(9.0, seed=1)], [points(9.0)] * 2)
    assert first["agreement"] < 0.4

"""Vectors of unit length, in memory or read again."""

import numpy as np
import pytest

from frieze.classifiers.teaching import unit_vectors
from frieze.classifiers.teaching.unit_vectors import UnitVectors


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_unit_length(monkeypatch, most_bytes):
    """Blocks and chosen rows have unit length, whether they are kept in memory or not."""
    monkeypatch.setattr(unit_vectors, "_MOST_BYTES", most_bytes)
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")
    vectors = UnitVectors(lambda chosen: [rows[chosen[:7]], rows[chosen[7:]]], rows.shape)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    before = vectors.take(np.array([3, 1]))
    np.testing.assert_allclose(np.concatenate(list(vectors.blocks())), expected, atol=1e-6)
    for taken in (before, vectors.take(np.array([3, 1]))):
        np.testing.assert_allclose(taken, expected[[3, 1]], atol=1e-6)
    assert vectors.take(np.array([], int)).shape == (0, 3)

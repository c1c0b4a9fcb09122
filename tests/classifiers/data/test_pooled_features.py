"""The view of maps as their means; the judge is NumPy."""

import numpy as np
import pytest

from frieze.classifiers import open_head, train_head
from frieze.classifiers.data.embedding_rows import EmbeddingRows, PooledFeatures, match_width
from frieze.core import unit_rows

MAPS = (2, 3, 4)


@pytest.fixture
def flattened(table):
    """Forty rows of maps 2 x 3 of four channels, of two classes."""
    rng, codes = np.random.default_rng(0), np.arange(40) % 2
    maps = rng.normal(size=(40, *MAPS)) + 3 * np.eye(4)[codes][:, None, None]
    labels = np.array(["ant", "bee"])[codes].tolist()
    return table([f"{row:02}" for row in range(40)], labels, maps.reshape(40, -1).astype("f4"), shard_size=15)


def test_rows_are_means(flattened):
    """Each row is the mean of its maps over height and width, read whole, in parts or in passes."""
    view = PooledFeatures(flattened, MAPS)
    expected = flattened.embeddings().reshape(40, *MAPS).mean(axis=(1, 2))
    assert (view.spec.dim, len(view), view.ids.tolist()) == (4, 40, flattened.ids.tolist())
    assert np.concatenate(list(view.vectors())) == pytest.approx(expected)
    assert view.part_vectors(1) == pytest.approx(expected[15:30])
    assert EmbeddingRows(view, np.arange(40)).read() == pytest.approx(unit_rows(expected), abs=1e-6)


def test_a_head_of_the_means(flattened, tmp_path):
    """A head trained on the view is a head of the means, and the view is taken where it is that wide."""
    actual = train_head(PooledFeatures(flattened, MAPS), tmp_path / "head")
    head = open_head(tmp_path / "head")
    assert (head.spec.dim, actual["n_train"]) == (4, 32)
    assert match_width(flattened, MAPS, head.spec.dim).spec.dim == 4
    assert match_width(flattened, MAPS, 24) is match_width(flattened, None, 4) is flattened


def test_other_labels_stay(flattened):
    """A table under other labels is seen under these."""
    relabelled = flattened.with_labels(np.array(["cow", "dog"] * 20, object), labels_from={"column": "animal"})
    view = PooledFeatures(relabelled, MAPS)
    assert (set(view.labels), view.labels_from) == ({"cow", "dog"}, {"column": "animal"})

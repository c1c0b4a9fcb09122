import itertools

import numpy as np
import pytest

from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.embedding_rows import EmbeddingRows
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.kinds.mlp_batches import Batches, split_for_early_stopping
from frieze.core import FeatureFileError, unit_rows

ROWS = np.arange(0, 150, 2)


@pytest.fixture(params=["memory", "table"])
def embeddings(request, overlapping):
    """150 embeddings, in memory or in their table."""
    return (
        unit_rows(overlapping.embeddings()) if request.param == "memory" else EmbeddingRows(overlapping, np.arange(150))
    )


def draw(embeddings, n_batches, **options):
    """Return so many batches of the even rows, whose codes are their numbers."""
    batches = Batches(embeddings, np.arange(150), ROWS, FitOptions(**options))
    return list(itertools.islice(batches.dataset().as_numpy_iterator(), n_batches))


def test_an_epoch_has_each_row_equally_often(embeddings):
    """75 rows make an epoch of 28 rounds: 2100 rows, 33 batches of 64; each row comes 28 times in 75 * 28 draws."""
    assert Batches(embeddings, np.arange(150), ROWS, FitOptions()).n_steps == 33
    drawn = np.concatenate([codes for _, codes, _ in draw(embeddings, 33)])
    assert all(sorted(drawn[start : start + 75]) == ROWS.tolist() for start in range(0, 2000, 75))


def test_a_batch_has_its_rows_codes_and_weights(embeddings, overlapping):
    """Embeddings, codes and weights of a batch belong together, and have the shape that the network was built for."""
    weights = np.linspace(0, 1, 150, dtype="f4")
    unit = unit_rows(overlapping.embeddings())
    for actual, codes, row_weights in draw(embeddings, 3, weights=weights):
        assert (actual.shape, codes.shape, row_weights.shape) == ((64, 8), (64,), (64,))
        assert np.array_equal(actual, unit[codes])
        assert np.array_equal(row_weights, weights[codes])


def test_the_order_is_drawn(embeddings):
    """Two rounds differ in their order; the same seed gives the same."""
    one, same = (np.concatenate([codes for _, codes, _ in draw(embeddings, 4, seed=5)]) for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one[:75], one[75:150])
    other = np.concatenate([codes for _, codes, _ in draw(embeddings, 4, seed=6)])
    assert not np.array_equal(one, other)


def test_watched_rows_are_in_memory(embeddings, overlapping):
    """A tenth of each class is watched, read into memory, and none of it fitted."""
    codes = np.repeat(np.arange(3), 50)
    fitted, (validation, validation_codes) = split_for_early_stopping(embeddings, codes, FitOptions())
    assert (len(fitted), np.bincount(validation_codes).tolist()) == (135, [5, 5, 5])
    unit = unit_rows(overlapping.embeddings())
    assert np.array_equal(validation, unit[np.setdiff1d(np.arange(150), fitted)])


def test_a_broken_part_raises_its_error(overlapping, monkeypatch):
    """A part that can't be read while a network learns ends the fit with its own error, not with TensorFlow's."""

    def fail(*_):
        raise FeatureFileError("part-0 is damaged.", hint="Embed it again.")
        yield

    monkeypatch.setattr(EmbeddingRows, "shuffled_blocks", fail)
    codes = np.arange(150) % 3
    head = KerasHead.new(8, np.array(["a", "b", "c"]), FitOptions().network, seed=0)
    with pytest.raises(FeatureFileError, match="part-0 is damaged"):
        head.fit(EmbeddingRows(overlapping, np.arange(150)), codes, FitOptions())

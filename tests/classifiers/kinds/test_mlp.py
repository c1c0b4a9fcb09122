import itertools

import numpy as np
import pytest

from frieze.classifiers.config import FitOptions, Network
from frieze.classifiers.data.splits import early_stopping_split, split_rows
from frieze.classifiers.kinds.mlp import _LEAST_GAIN, KerasHead
from frieze.core import unit_rows


@pytest.fixture
def fitted(doubtful):
    """A keras head in memory, with the history of its fit."""
    return doubtful.refitted("keras")


def test_network_has_one_hidden_layer(fitted):
    """128 hidden units and one output a class: (8 + 1) 128 + (128 + 1) 3 weights."""
    assert fitted.network.count_params() == 1152 + 387


def test_fit_stops_early(fitted):
    """Overlapping classes stop getting better long before the last epoch."""
    assert len(fitted.network.history.epoch) < 100


def test_best_weights_stay(fitted, overlapping):
    """The watched loss of the fitted head is the lowest of its history, within the least gain that counts."""
    train, _ = split_rows(overlapping.labels, test_size=0.2, seed=0)
    _, validation = early_stopping_split(overlapping.labels[train], 0)
    probabilities = fitted.probabilities(overlapping.embeddings()[train][validation])
    codes = np.searchsorted(fitted.classes, overlapping.labels[train][validation])
    loss = -np.log(probabilities[np.arange(len(codes)), codes]).mean()
    assert loss == pytest.approx(min(fitted.network.history.history["val_loss"]), abs=_LEAST_GAIN)


def test_single_rows_are_fitted_and_watched():
    """Where each class has one row nothing can be set apart, so all rows are both fitted and watched."""
    seen, validation = early_stopping_split(np.array(["ant", "bee"], dtype=object), 0)
    assert seen.tolist() == validation.tolist() == [0, 1]


def test_a_tenth_of_the_training_rows_is_watched():
    """Of two classes of 30 rows, 27 are fitted and 3 watched, none both."""
    labels = np.repeat(["ant", "bee"], 30).astype(object)
    seen, validation = early_stopping_split(labels, 0)
    assert sorted([*seen, *validation]) == list(range(60))
    assert labels[validation].tolist() == ["ant"] * 3 + ["bee"] * 3


def test_whole_groups_are_watched():
    """With groups a tenth of each class's groups is watched, and no group is both fitted and watched."""
    codes, groups = np.repeat([0, 1], 30), np.arange(60) // 3
    seen, validation = early_stopping_split(codes, 0, groups)
    assert sorted([*seen, *validation]) == list(range(60))
    assert codes[validation].tolist() == [0] * 3 + [1] * 3
    assert not np.intersect1d(groups[seen], groups[validation]).size


def test_single_rows_are_watched_where_no_group_can_be_spared():
    """Where each class is one group, single rows are watched, as without groups."""
    codes = np.repeat([0, 1], 30)
    for actual, expected in zip(early_stopping_split(codes, 0, codes), early_stopping_split(codes, 0), strict=True):
        assert actual.tolist() == expected.tolist()


def test_keras_reads_the_file_by_itself(fitted, overlapping, tmp_path):
    """The stored file is a plain Keras model that gives our probabilities without our help."""
    import keras

    fitted.save(tmp_path / "head.keras")
    alone = keras.models.load_model(tmp_path / "head.keras")
    embeddings = overlapping.embeddings()
    assert np.allclose(alone(embeddings), fitted.probabilities(embeddings), atol=1e-6)


def test_layers_and_dropout_are_stored(overlapping, tmp_path):
    """A network of two hidden layers with dropout is built as asked, and read back with the same answers."""
    embeddings, codes = unit_rows(overlapping.embeddings()), overlapping.labels
    options = FitOptions(network=Network(layers=(16, 8), dropout=0.25, epochs=2))
    head = next(KerasHead.fit_each(embeddings, codes, [1.0], options))
    kinds = [type(layer).__name__ for layer in head.network.layers]
    assert kinds == ["UnitNormalization", "Rescaling", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert head.network.count_params() == 9 * 16 + 17 * 8 + 9 * 3
    assert head.network.layers[3].rate == 0.25
    head.save(tmp_path / "head.keras")
    loaded = KerasHead.load(tmp_path / "head.keras", classes=head.classes, dim=8)
    assert np.array_equal(loaded.probabilities(embeddings), head.probabilities(embeddings))


def test_patience_ends_the_fit(overlapping):
    """With a patience of one epoch the fit ends at the first epoch without a gain."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    options = FitOptions(network=Network(layers=(4,), patience=1))
    head = next(KerasHead.fit_each(embeddings, labels, [1.0], options))
    losses = head.network.history.history["val_loss"]
    gains = [later < earlier - _LEAST_GAIN for earlier, later in itertools.pairwise(losses)]
    assert gains == [True] * (len(losses) - 2) + [False]

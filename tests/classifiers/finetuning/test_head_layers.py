import random

import numpy as np
import pytest

from frieze.classifiers import HeadConfig
from frieze.classifiers.config import Network
from frieze.classifiers.finetuning.head_layers import to_head, to_layers
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.registry import HEADS
from frieze.classifiers.training.fit import fit_head
from frieze.core import InputError, unit_rows

NO_NETWORKS = ("knn", "svm-rbf")
NETWORKS = [name for name in HEADS if name not in NO_NETWORKS]


@pytest.fixture(scope="module")
def fitted(overlapping, tf):
    """`fitted(kind, n_classes)`: raw embeddings float32 [n, 8] of so many classes, and a head fitted on them."""
    embeddings, labels = overlapping.embeddings(), overlapping.labels

    def fit(kind, n_classes):
        chosen = np.isin(labels.astype(str), ["ant", "bee", "cow"][:n_classes])
        network = Network((5, 4), epochs=2) if kind == "keras" else Network()
        head, _ = fit_head(HeadConfig(kind, network=network), unit_rows(embeddings[chosen]), labels[chosen])
        return 3 * embeddings[chosen], head

    return fit


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", NETWORKS)
def test_layers_predict_like_the_head(fitted, kind, n_classes):
    """As layers a head gives its own probabilities for raw embeddings, and so does the head made of these again."""
    embeddings, head = fitted(kind, n_classes)
    before = random.getstate()
    layers = to_layers(head, 8)
    assert random.getstate() == before, "the caller's generator was drawn from"
    assert np.allclose(layers(embeddings), head.probabilities(embeddings), atol=1e-5)
    converted = to_head(layers, head)
    assert np.allclose(converted.probabilities(embeddings), head.probabilities(embeddings), atol=1e-5)
    assert converted.classes.tolist() == ["ant", "bee", "cow"][:n_classes]


@pytest.mark.parametrize(("kind", "expected"), [("svm", "linear"), ("linear", "linear"), ("keras", "keras")])
def test_what_it_becomes(fitted, tmp_path, kind, expected):
    """Trained layers become a head of the kind that can be stored, with a softmax over planes as `linear`."""
    embeddings, head = fitted(kind, 3)
    layers = to_layers(head, 8)
    layers.layers[-1].set_weights([2 * weight for weight in layers.layers[-1].get_weights()])
    converted = to_head(layers, head)
    converted.save(tmp_path / converted.file_name)
    loaded = HEADS[expected].load(tmp_path / converted.file_name, classes=converted.classes, dim=8)
    assert isinstance(converted, HEADS[expected])
    assert np.allclose(loaded.probabilities(embeddings), layers(embeddings), atol=1e-5)


def test_rows_at_their_own_length(tf):
    """A new network learns on rows at their own mean length, with Keras' own first weights; its head gives the same."""
    rng = np.random.default_rng(0)
    embeddings = rng.random((20, 8), np.float32) + 1
    embeddings *= 5 / np.linalg.norm(embeddings, axis=1, keepdims=True)
    start = KerasHead.new(8, np.array(["ant", "bee"]), Network((6,), 0.1), seed=0)
    layers = to_layers(start, 8, norm=5.0)
    dense = layers.layers[2:]
    assert [type(layer).__name__ for layer in dense] == ["Dense", "Dropout", "Dense"]
    plain = dense[2](dense[0](embeddings))
    assert np.allclose(layers(embeddings), plain, atol=1e-6)
    assert np.allclose(to_head(layers, start).probabilities(embeddings), plain, atol=1e-6)


@pytest.mark.parametrize("kind", NO_NETWORKS)
def test_what_is_no_network(fitted, kind):
    """A head that is no network is refused with those that are."""
    with pytest.raises(InputError, match="can't be trained further") as caught:
        to_layers(fitted(kind, 3)[1], 8)
    assert "linear, svm or keras" in caught.value.hint

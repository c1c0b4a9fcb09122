"""A head as the last layers of a network, and back."""

from typing import Any

import numpy as np

from frieze.classifiers.kinds.linear import LinearHead, PipelineHead
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.registry import Classifier
from frieze.core import InputError, Strings, import_keras


def to_layers(head: Classifier, dim: int, *, length: float | None = None) -> Any:
    """Give a head as a Keras model: float32 [B, D] -> its probabilities [B, C].

    Args:
        head: The head.
        dim: D.
        length: What a new network takes rows at: their own mean length, so that it learns as layers do that stand
            directly on the backbone. A step of Adam moves a unit by the sum of its inputs: at length sqrt(D) the maps
            of a wide layer would move it several times as far. None for the head's own length.

    Raises:
        InputError: It is of a kind that is no network: knn, or an SVM with another kernel.
    """
    keras = import_keras()

    if isinstance(head, KerasHead):
        return head.network if length is None else _at_length(head.network, dim, length)
    if not isinstance(head, PipelineHead):
        raise InputError(
            f"A {type(head).__name__} can't be trained further.", hint="Give --head one that is linear, svm or keras."
        )
    weights, intercepts = head.planes()
    layers = keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.UnitNormalization(),
            keras.layers.Dense(len(head.classes), activation="softmax", kernel_initializer="zeros"),  # draws nothing
        ]
    )
    layers.layers[-1].set_weights([weights.T, intercepts])
    return layers


def _at_length(network: Any, dim: int, length: float) -> Any:
    """Give the hidden layers of a network, the very ones, on rows of another length."""
    keras = import_keras()

    dense = [layer for layer in network.layers if layer.weights or isinstance(layer, keras.layers.Dropout)]
    scaling = [keras.layers.UnitNormalization(), keras.layers.Rescaling(length)]
    return keras.Sequential([keras.Input((dim,)), *scaling, *dense])


def to_head(layers: Any, start: Classifier) -> Classifier:
    """Give the layers as a head again, `linear` or `keras`.

    Args:
        layers: What `to_layers` gave, trained since.
        start: The head that it was given.
    """
    if isinstance(start, KerasHead):
        _take_length(start.network, layers)
        head = KerasHead(classes=start.classes, network=start.network)
        head.fit_seconds, head.converged = start.fit_seconds, start.converged
        return head
    return _linear(layers, start.classes)


def _take_length(network: Any, layers: Any) -> None:
    """Move the length that rows were taken at into the first kernel; no-op where it is the network's own."""
    own, other = ((one.layers[1].scale, one.layers[2]) for one in (network, layers))
    kernel, bias = other[1].get_weights()
    own[1].set_weights([kernel * np.float32(other[0] / own[0]), bias])


def _linear(layers: Any, classes: Strings) -> LinearHead:
    import time

    weights, intercepts = layers.layers[-1].get_weights()
    return LinearHead.of_model(LinearHead.filled(weights.T, intercepts), classes, begun=time.perf_counter())

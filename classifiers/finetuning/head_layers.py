"""Convert a head to Keras layers for training, and back."""

from typing import Any

import numpy as np

from frieze.classifiers.kinds.linear import LinearHead, PipelineHead
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.registry import Classifier
from frieze.core import InputError, Strings, import_keras


def to_layers(head: Classifier, dim: int, *, norm: float | None = None) -> Any:
    """Convert a head to a Keras model: float32 [B, D] -> its probabilities [B, C].

    Args:
        head: The head.
        dim: D.
        norm: The norm that a new network scales rows to: their mean norm, so that it trains like layers directly on
            the backbone. A step of Adam moves a unit by the sum of its inputs: at norm sqrt(D) the maps of a wide layer
            would move it several times as far. None for the norm of the head.

    Raises:
        InputError: Its kind is no network: knn, or an SVM with a kernel.
    """
    keras = import_keras()

    if isinstance(head, KerasHead):
        return head.network if norm is None else _at_norm(head.network, dim, norm)
    if not isinstance(head, PipelineHead):
        raise InputError(
            f"A {type(head).__name__} can't be trained further.", hint="Use a `head` that is linear, svm or keras."
        )
    weights, intercepts = head.coef_and_intercept()
    layers = keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.UnitNormalization(),
            keras.layers.Dense(
                len(head.classes), activation="softmax", kernel_initializer="zeros"
            ),  # no random numbers
        ]
    )
    layers.layers[-1].set_weights([weights.T, intercepts])
    return layers


def _at_norm(network: Any, dim: int, norm: float) -> Any:
    """Build a network with the same layer objects on rows of another norm."""
    keras = import_keras()

    dense = [layer for layer in network.layers if layer.weights or isinstance(layer, keras.layers.Dropout)]
    scaling = [keras.layers.UnitNormalization(), keras.layers.Rescaling(norm)]
    return keras.Sequential([keras.Input((dim,)), *scaling, *dense])


def to_head(layers: Any, initial_head: Classifier) -> Classifier:
    """Convert layers back to a head, `linear` or `keras`.

    Args:
        layers: The result of `to_layers`, trained since.
        initial_head: The head that was converted.
    """
    if isinstance(initial_head, KerasHead):
        _fold_norm(initial_head.network, layers)
        head = KerasHead(classes=initial_head.classes, network=initial_head.network)
        head.fit_seconds, head.converged = initial_head.fit_seconds, initial_head.converged
        return head
    return _linear(layers, initial_head.classes)


def _fold_norm(network: Any, layers: Any) -> None:
    """Fold the norm of the rows into the first kernel; a no-op where it is the norm of the network."""
    target, trained = ((one.layers[1].scale, one.layers[2]) for one in (network, layers))
    kernel, bias = trained[1].get_weights()
    target[1].set_weights([kernel * np.float32(trained[0] / target[0]), bias])


def _linear(layers: Any, classes: Strings) -> LinearHead:
    import time

    weights, intercepts = layers.layers[-1].get_weights()
    return LinearHead.from_model(LinearHead.fitted_model(weights.T, intercepts), classes, started=time.perf_counter())

"""A head as the last layers of a network, and back."""

from typing import Any

from classifiers.heads import Classifier
from classifiers.keras_head import KerasHead
from classifiers.linear_heads import LinearHead, PipelineHead
from features import InputError, Strings, import_keras


def to_layers(head: Classifier, dim: int) -> Any:
    """Give a head as a Keras model: float32 [B, D] -> its probabilities [B, C].

    Raises:
        InputError: It is of a kind that is no network: knn, or an SVM with another kernel.
    """
    keras = import_keras()

    if isinstance(head, KerasHead):
        return head.network
    if not isinstance(head, PipelineHead):
        raise InputError(
            f"A {type(head).__name__} can't be trained further.", mend="Give --head one that is linear, svm or keras."
        )
    weights, intercepts = head.planes()
    layers = keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.UnitNormalization(),
            keras.layers.Dense(len(head.classes), activation="softmax"),
        ]
    )
    layers.layers[-1].set_weights([weights.T, intercepts])
    return layers


def to_head(layers: Any, start: Classifier) -> Classifier:
    """Give the layers as a head again, `linear` or `keras`.

    Args:
        layers: What `to_layers` gave, trained since.
        start: The head that it was given.
    """
    if isinstance(start, KerasHead):
        head = KerasHead(classes=start.classes, network=layers)
        head.fit_seconds, head.converged = start.fit_seconds, start.converged
        return head
    return _linear(layers, start.classes)


def _linear(layers: Any, classes: Strings) -> LinearHead:
    import time

    weights, intercepts = layers.layers[-1].get_weights()
    return LinearHead.of_model(LinearHead.filled(weights.T, intercepts), classes, begun=time.perf_counter())

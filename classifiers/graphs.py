"""Heads in TensorFlow's operations, for a network that leaves the house with its head on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from features import Floats, Rows, import_tensorflow

_LEAST_LENGTH = float(10 * np.finfo(np.float32).eps)  # scikit-learn's Normalizer leaves shorter vectors as they are
Function = Callable[[Any], Any]


def linear_softmax(weights: Floats, intercepts: Floats) -> Function:
    """Give the function of a linear head: scale to unit length, C margins, their softmax.

    Args:
        weights: float [C, D].
        intercepts: float [C].

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, C].
    """

    def probabilities(embeddings: Any) -> Any:
        tf = import_tensorflow()
        return tf.nn.softmax(
            _unit(embeddings, least=_LEAST_LENGTH) @ weights.T.astype(np.float32) + intercepts.astype(np.float32)
        )

    return probabilities


def neighbour_votes(stored: Floats, codes: Rows, *, k: int, n_classes: int) -> Function:
    """Give the shares of the k nearest rows' votes, by the inverse of their distance; of equal rows, theirs alone.

    Args:
        stored: float32 [N, D] of unit length.
        codes: int64 [N], their classes.
        k: How many vote.
        n_classes: C.

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, C].
    """

    def shares(embeddings: Any) -> Any:
        tf = import_tensorflow()
        unit = _unit(embeddings, least=0.0)
        nearest = tf.math.top_k(unit @ stored.T, k).indices  # [B, k]
        distances = tf.norm(tf.gather(stored, nearest) - unit[:, None], axis=2)
        is_equal = tf.cast(distances == 0, tf.float32)
        weights = tf.where(tf.reduce_any(distances == 0, axis=1, keepdims=True), is_equal, 1 / distances)
        votes = tf.reduce_sum(tf.one_hot(tf.gather(codes, nearest), n_classes) * weights[:, :, None], axis=1)
        return votes / tf.reduce_sum(votes, axis=1, keepdims=True)

    return shares


def power_of_shares(shares: Function, *, factor: float, least: float) -> Function:
    """Raise shares, at least so large, to a power, and let them sum to 1 again."""

    def probabilities(embeddings: Any) -> Any:
        tf = import_tensorflow()
        return tf.nn.softmax(factor * tf.math.log(tf.maximum(shares(embeddings), least)))

    return probabilities


def _unit(embeddings: Any, *, least: float) -> Any:
    tf = import_tensorflow()
    length = tf.norm(embeddings, axis=1, keepdims=True)
    return embeddings / tf.where((length < least) | (length == 0), 1.0, length)

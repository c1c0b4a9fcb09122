"""Heads as TensorFlow functions, for the export of a backbone with its head."""

from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.core import Floats, Rows, import_tensorflow

_MIN_LENGTH = float(10 * np.finfo(np.float32).eps)  # scikit-learn's Normalizer leaves shorter vectors as they are
Function = Callable[[Any], Any]


def linear_softmax(weights: Floats, intercepts: Floats) -> Function:
    """Return the function of a linear head: normalise, C logits, softmax.

    Args:
        weights: float [C, D].
        intercepts: float [C].

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, C].
    """

    def probabilities(embeddings: Any) -> Any:
        tf = import_tensorflow()
        return tf.nn.softmax(
            _unit(embeddings, minimum=_MIN_LENGTH) @ weights.T.astype(np.float32) + intercepts.astype(np.float32)
        )

    return probabilities


def neighbour_votes(stored: Floats, codes: Rows, *, k: int, n_classes: int) -> Function:
    """Return the shares of the k nearest rows' votes, weighted by inverse distance; equal rows outvote all others.

    Args:
        stored: float32 [N, D] of unit length.
        codes: int64 [N], their classes.
        k: Number of neighbours.
        n_classes: C.

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, C].
    """

    def shares(embeddings: Any) -> Any:
        tf = import_tensorflow()
        unit = _unit(embeddings, minimum=0.0)
        nearest = tf.math.top_k(unit @ stored.T, k).indices  # [B, k]
        distances = tf.norm(tf.gather(stored, nearest) - unit[:, None], axis=2)
        is_equal = tf.cast(distances == 0, tf.float32)
        weights = tf.where(tf.reduce_any(distances == 0, axis=1, keepdims=True), is_equal, 1 / distances)
        votes = tf.reduce_sum(tf.one_hot(tf.gather(codes, nearest), n_classes) * weights[:, :, None], axis=1)
        return votes / tf.reduce_sum(votes, axis=1, keepdims=True)

    return shares


def power_of_shares(shares: Function, *, factor: float, minimum: float) -> Function:
    """Return the function that raises shares, at least `minimum`, to a power and normalises them."""

    def probabilities(embeddings: Any) -> Any:
        tf = import_tensorflow()
        return tf.nn.softmax(factor * tf.math.log(tf.maximum(shares(embeddings), minimum)))

    return probabilities


def rbf(vectors: Floats, *, gamma: float) -> Function:
    """Return the RBF kernel exp(-gamma |x - v|^2) with vectors float32 [S, D], x scaled to unit length.

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, S].
    """
    centre = vectors.mean(axis=0)
    centred_vectors = vectors - centre

    def values(embeddings: Any) -> Any:
        tf = import_tensorflow()
        centred = _unit(embeddings, minimum=_MIN_LENGTH) - centre
        squares = tf.reduce_sum(centred**2, axis=1, keepdims=True) + (centred_vectors**2).sum(axis=1)
        return tf.exp(-gamma * tf.maximum(squares - 2 * centred @ centred_vectors.T, 0.0))

    return values


def linear_logits(weights: Floats, intercepts: Floats) -> Function:
    """Return the function float32 [B, S] -> float32 [B, C] of weights float32 [C, S] and intercepts float32 [C]."""
    return lambda values: values @ weights.T + intercepts


def one_vs_one_logits(coef: Floats, counts: Rows, intercepts: Floats, *, min_lead: float) -> Function:
    """Return the logits of `rbf_svm.OneVsOne`.

    Args:
        coef: float32 [C, S].
        counts: int64 [C].
        intercepts: float32 [C, C].
        min_lead: Minimum lead of the winner of the vote.

    Returns:
        TensorFlow function: float32 [B, S] -> float32 [B, C].
    """
    ends, n_classes = np.cumsum(counts), len(counts)
    blocks = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    signs = np.sign(np.arange(n_classes) - np.arange(n_classes)[:, None]).astype(np.float32)

    def logits(values: Any) -> Any:
        tf = import_tensorflow()
        parts = tf.stack([values[:, block] @ coef[:, block].T for block in blocks], axis=1)
        decisions = signs * (parts + tf.transpose(parts, [0, 2, 1]) + intercepts)  # [B, C, C]
        sums = tf.reduce_sum(decisions, axis=2)
        votes = tf.reduce_sum(tf.cast(decisions > 0, tf.float32), axis=2) + sums / (3 * (tf.abs(sums) + 1))
        likely = tf.reduce_sum(tf.math.log_sigmoid(decisions), axis=2)
        is_winner = tf.one_hot(tf.argmax(votes, axis=1), n_classes, on_value=True, off_value=False)
        best_loser = tf.reduce_max(tf.where(is_winner, -np.inf, likely), axis=1, keepdims=True)
        return tf.where(is_winner, tf.maximum(likely, best_loser + min_lead), likely)

    return logits


def softmax_of(logits: Function, *, factor: float) -> Function:
    """Return the softmax of logits times a factor, as a TensorFlow function."""
    return lambda embeddings: import_tensorflow().nn.softmax(factor * logits(embeddings))


def _unit(embeddings: Any, *, minimum: float) -> Any:
    tf = import_tensorflow()
    length = tf.norm(embeddings, axis=1, keepdims=True)
    return embeddings / tf.where((length < minimum) | (length == 0), 1.0, length)

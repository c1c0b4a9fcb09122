"""Heads in TensorFlow's operations, for a network that leaves the house with its head on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.core import Floats, Rows, import_tensorflow

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


def rbf(vectors: Floats, *, gamma: float) -> Function:
    """Give exp(-gamma |x - v|^2) for each of some vectors float32 [S, D], where x is scaled to unit length.

    Returns:
        TensorFlow function: float32 [B, D] -> float32 [B, S].
    """
    centre = vectors.mean(axis=0)
    theirs = vectors - centre

    def values(embeddings: Any) -> Any:
        tf = import_tensorflow()
        ours = _unit(embeddings, least=_LEAST_LENGTH) - centre
        lengths = tf.reduce_sum(ours**2, axis=1, keepdims=True) + (theirs**2).sum(axis=1)
        return tf.exp(-gamma * tf.maximum(lengths - 2 * ours @ theirs.T, 0.0))

    return values


def linear_margins(weights: Floats, intercepts: Floats) -> Function:
    """Give the function float32 [B, S] -> float32 [B, C] of weights float32 [C, S] and intercepts float32 [C]."""
    return lambda values: values @ weights.T + intercepts


def duel_margins(coef: Floats, counts: Rows, intercepts: Floats, *, least_lead: float) -> Function:
    """Give the margins of `kernels.Duels`.

    Args:
        coef: float32 [C, S].
        counts: int64 [C].
        intercepts: float32 [C, C].
        least_lead: By how much the winner of the vote is ahead at least.

    Returns:
        TensorFlow function: float32 [B, S] -> float32 [B, C].
    """
    ends, n_classes = np.cumsum(counts), len(counts)
    blocks = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    signs = np.sign(np.arange(n_classes) - np.arange(n_classes)[:, None]).astype(np.float32)

    def margins(values: Any) -> Any:
        tf = import_tensorflow()
        parts = tf.stack([values[:, block] @ coef[:, block].T for block in blocks], axis=1)
        decisions = signs * (parts + tf.transpose(parts, [0, 2, 1]) + intercepts)  # [B, C, C]
        sums = tf.reduce_sum(decisions, axis=2)
        votes = tf.reduce_sum(tf.cast(decisions > 0, tf.float32), axis=2) + sums / (3 * (tf.abs(sums) + 1))
        likely = tf.reduce_sum(tf.math.log_sigmoid(decisions), axis=2)
        is_winner = tf.one_hot(tf.argmax(votes, axis=1), n_classes, on_value=True, off_value=False)
        best_loser = tf.reduce_max(tf.where(is_winner, -np.inf, likely), axis=1, keepdims=True)
        return tf.where(is_winner, tf.maximum(likely, best_loser + least_lead), likely)

    return margins


def softmax_of(margins: Function, *, factor: float) -> Function:
    """Give the softmax of margins times a factor, as a TensorFlow function."""
    return lambda embeddings: import_tensorflow().nn.softmax(factor * margins(embeddings))


def _unit(embeddings: Any, *, least: float) -> Any:
    tf = import_tensorflow()
    length = tf.norm(embeddings, axis=1, keepdims=True)
    return embeddings / tf.where((length < least) | (length == 0), 1.0, length)

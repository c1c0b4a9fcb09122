"""Exact nearest-neighbour search in NumPy: the reference for every index."""

from collections.abc import Callable

import numpy as np

from frieze.core import Floats, InputError, MismatchError, Rows, unit_rows

_BLOCK_FLOATS = 1 << 24  # scores held at once: 64 MB


def _dot(queries: Floats, embeddings: Floats) -> Floats:
    return queries @ embeddings.T  # [Q, N]


def _cosine(queries: Floats, embeddings: Floats) -> Floats:
    scores = _dot(unit_rows(queries), unit_rows(embeddings))
    return np.clip(scores, -1, 1, out=scores)  # rounding may exceed 1


def _negative_l2(queries: Floats, embeddings: Floats) -> Floats:
    # float64: in float32 the expanded square loses small distances to rounding.
    q, x = queries.astype(np.float64), embeddings.astype(np.float64)
    squares = (q**2).sum(1)[:, None] + (x**2).sum(1)[None] - 2 * q @ x.T  # [Q, N]
    scores: Floats = -np.sqrt(np.maximum(squares, 0)).astype(np.float32)
    return scores


METRICS: dict[str, Callable[[Floats, Floats], Floats]] = {"cosine": _cosine, "dot": _dot, "l2": _negative_l2}
"""Name -> scores [Q, N] of queries [Q, D] against embeddings [N, D]; higher is nearer."""


def top_k(queries: Floats, embeddings: Floats, *, k: int, metric: str = "cosine") -> tuple[Rows, Floats]:
    """Find the k nearest rows for each query.

    Args:
        queries: float32 [Q, D].
        embeddings: float32 [N, D].
        k: How many to return, 1 <= k <= N.
        metric: `cosine`, `dot` or `l2`.

    Returns:
        rows: int64 [Q, k], best first; rows of equal score in ascending order.
        scores: float32 [Q, k]; cosine in [-1, 1], the dot product, or the negative Euclidean distance.

    Raises:
        InputError: k is out of range or the metric is unknown.
        MismatchError: The two differ in width.

    >>> rows, scores = top_k(np.eye(2, dtype="f4")[:1], np.eye(2, dtype="f4"), k=2)
    >>> rows.tolist(), scores.tolist()
    ([[0, 1]], [[1.0, 0.0]])
    """
    _check(queries, embeddings, k=k, metric=metric)
    step = max(1, _BLOCK_FLOATS // len(embeddings))
    blocks = [
        _best(METRICS[metric](queries[start : start + step], embeddings), k) for start in range(0, len(queries), step)
    ]
    rows = [rows for rows, _ in blocks] or [np.empty((0, k), np.int64)]
    scores = [scores for _, scores in blocks] or [np.empty((0, k), np.float32)]
    return np.concatenate(rows), np.concatenate(scores)


def _best(scores: Floats, k: int) -> tuple[Rows, Floats]:
    rows = np.argpartition(-scores, k - 1, axis=1)[:, :k]  # [Q, k]
    last = np.take_along_axis(scores, rows[:, -1:], axis=1)  # [Q, 1], the k-th best score
    cut = (scores >= last).sum(1) > k  # ties for the last place: a partition takes any of them
    rows[cut] = np.argsort(-scores[cut], axis=1, kind="stable")[:, :k]
    rows.sort(axis=1)
    row_scores = np.take_along_axis(scores, rows, axis=1)
    order = np.argsort(-row_scores, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(row_scores, order, axis=1)


def _check(queries: Floats, embeddings: Floats, *, k: int, metric: str) -> None:
    if metric not in METRICS:
        raise InputError(f"Unknown metric: {metric}.", hint=f"Use one of: {', '.join(METRICS)}.")
    if queries.shape[1] != embeddings.shape[1]:
        raise MismatchError(
            f"The queries have width {queries.shape[1]}, the embeddings {embeddings.shape[1]}.",
            hint="Embed both with the same backbone.",
        )
    if not 1 <= k <= len(embeddings):
        raise InputError(f"k is {k}, but there are {len(embeddings)} rows.", hint=f"Use 1 <= k <= {len(embeddings)}.")

"""Array types, L2 normalisation of rows, and how a query in words begins."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""float32; [N, D] for embeddings, [Q, K] for scores."""
Rows = npt.NDArray[np.int64]
"""int64 row numbers."""
Strings = npt.NDArray[np.object_]
"""Python strings, None where unknown."""
TEXT = "text:"
"""Prefix of a query in words."""


def unit_rows(embeddings: Floats) -> Floats:
    """L2-normalise each row; a row of zeros stays as it is, so that its cosine to anything is 0.

    Args:
        embeddings: float32 [N, D].

    Returns:
        float32 [N, D].

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype="f4")).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    largest = np.abs(embeddings).max(axis=1, keepdims=True, initial=0)
    # Divide by the largest value first: squares of very large or small values overflow or underflow float32.
    scaled: Floats = np.divide(embeddings, largest, out=np.zeros_like(embeddings), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Floats = np.divide(scaled, norms, out=scaled, where=norms > 0)
    return unit


def evenly_spaced(rows: Rows, most: int) -> Rows:
    """Return at most `most` of some rows, evenly spaced from the first to the last.

    >>> evenly_spaced(np.arange(9), 3).tolist(), evenly_spaced(np.arange(2), 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]

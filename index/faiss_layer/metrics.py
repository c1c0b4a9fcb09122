"""The three metrics for FAISS: how embeddings are prepared, and how FAISS's numbers become scores."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError, unit_rows

_MIN_LENGTH, _MAX_LENGTH = 1e-12, 9e18
"""Within these bounds, or at 0, squares, sums and products of two lengths keep their precision in FAISS's float32."""


@dataclasses.dataclass(frozen=True)
class FaissMetric:
    """One metric in FAISS's terms.

    Attributes:
        faiss_name: Name of FAISS's constant.
        prepare: Converts embeddings [N, D] to what FAISS stores and searches for.
        to_scores: Converts FAISS's numbers [Q, K] to scores: higher is nearer.
        is_rough: Whether FAISS's numbers lose precision in large batches, so that scores are recomputed.
    """

    faiss_name: str
    prepare: Callable[[Floats], Floats]
    to_scores: Callable[[Floats], Floats]
    is_rough: bool = False


def _identity(values: Floats) -> Floats:
    return values


def _clipped(cosines: Floats) -> Floats:
    return np.clip(cosines, -1, 1)


def _negative_root(squares: Floats) -> Floats:
    scores: Floats = -np.sqrt(np.maximum(squares, 0))
    return scores


FAISS_METRICS = {
    "cosine": FaissMetric("METRIC_INNER_PRODUCT", prepare=unit_rows, to_scores=_clipped),
    "dot": FaissMetric("METRIC_INNER_PRODUCT", prepare=_identity, to_scores=_identity),
    # FAISS expands the square in large batches: a row would lie 1e-3 from itself, and a score depend on the batch.
    "l2": FaissMetric("METRIC_L2", prepare=_identity, to_scores=_negative_root, is_rough=True),
}
"""One entry for each metric of `features.METRICS`."""


def square_lengths(vectors: Floats) -> npt.NDArray[np.float64]:
    """Compute squared lengths float64 [n] of vectors [n, D]; none overflows, and only a zero vector has length 0."""
    squares: npt.NDArray[np.float64] = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return squares


def check_lengths(
    squares: npt.NDArray[np.float64], name: Callable[[int], str], *, metric: str, may_be_small: bool = False
) -> None:
    """Refuse vectors that are too large or too small for scores in float32; with cosine none is.

    Args:
        squares: Result of `square_lengths`.
        name: Returns what to call a vector in the message, by its number.
        metric: A key of `FAISS_METRICS`.
        may_be_small: Whether small vectors are accepted.

    Raises:
        InputError: A vector is not all zeros and its length is outside 1e-12 to 9e18.
    """
    if metric == "cosine":
        return
    is_large = squares > _MAX_LENGTH**2
    is_small = (squares > 0) & (squares < _MIN_LENGTH**2) & (not may_be_small)
    for is_bad, word, hint in ((is_large, "large", "divide"), (is_small, "small", "multiply")):
        if is_bad.any():
            row = int(is_bad.argmax())
            raise InputError(
                f"{name(row)} is too {word} for the metric {metric}: its length is {squares[row] ** 0.5:.3g}, and"
                f" float32 holds only the squares of {_MIN_LENGTH:g} to {_MAX_LENGTH:g}.",
                hint=f"Use `metric='cosine'`, which ignores lengths, or {hint} all vectors by the same number.",
            )

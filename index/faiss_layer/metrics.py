"""The three metrics in FAISS's terms: what goes in, and how its numbers become scores."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, InputError, unit_rows

_LEAST_LENGTH, _MOST_LENGTH = 1e-12, 9e18
"""Between these, or 0: squares, sums of them and products of two lengths keep their digits in float32, as FAISS has."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """One metric.

    Attributes:
        faiss_name: FAISS's constant.
        prepare: Embeddings [N, D] to what FAISS stores and is asked with.
        to_scores: FAISS's numbers [Q, K] to scores: higher is nearer.
        is_rough: Whether FAISS's numbers lose digits in large batches, so that scores are computed anew.
    """

    faiss_name: str
    prepare: Callable[[Floats], Floats]
    to_scores: Callable[[Floats], Floats]
    is_rough: bool = False


def _as_it_is(values: Floats) -> Floats:
    return values


def _clipped(cosines: Floats) -> Floats:
    return np.clip(cosines, -1, 1)


def _negative_root(squares: Floats) -> Floats:
    scores: Floats = -np.sqrt(np.maximum(squares, 0))
    return scores


MEASURES = {
    "cosine": Measure("METRIC_INNER_PRODUCT", prepare=unit_rows, to_scores=_clipped),
    "dot": Measure("METRIC_INNER_PRODUCT", prepare=_as_it_is, to_scores=_as_it_is),
    # FAISS expands the square in large batches: a row would lie 1e-3 from itself, and a score hang on the batch.
    "l2": Measure("METRIC_L2", prepare=_as_it_is, to_scores=_negative_root, is_rough=True),
}
"""One entry for each word of `features.METRICS`."""


def square_lengths(vectors: Floats) -> npt.NDArray[np.float64]:
    """Compute the squared lengths [n] of vectors [n, D]; none overflows, and only zeros give 0."""
    squares: npt.NDArray[np.float64] = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return squares


def check_lengths(
    squares: npt.NDArray[np.float64], name: Callable[[int], str], *, metric: str, may_be_small: bool = False
) -> None:
    """Refuse vectors that are too large or too small for scores in float32; by the cosine none is.

    Args:
        squares: What `square_lengths` gives.
        name: Takes a vector's number and tells what to call it.
        metric: A key of `MEASURES`.
        may_be_small: Whether small ones do no harm.

    Raises:
        InputError: One is not all zeros and its length is outside of 1e-12 to 9e18.
    """
    if metric == "cosine":
        return
    is_large = squares > _MOST_LENGTH**2
    is_small = (squares > 0) & (squares < _LEAST_LENGTH**2) & (not may_be_small)
    for is_one, word, hint in ((is_large, "large", "divide"), (is_small, "small", "multiply")):
        if is_one.any():
            row = int(is_one.argmax())
            raise InputError(
                f"{name(row)} is too {word} for --metric {metric}: its length is {squares[row] ** 0.5:.3g}, and"
                f" float32 holds the squares of {_LEAST_LENGTH:g} to {_MOST_LENGTH:g} only.",
                hint=f"Use --metric cosine, for which lengths do not count, or {hint} all vectors by the same number.",
            )

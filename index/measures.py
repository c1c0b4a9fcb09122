"""The three metrics in FAISS's terms: what goes in, and how its numbers become scores."""

import dataclasses
from collections.abc import Callable

import numpy as np

from features import Floats, unit_rows


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

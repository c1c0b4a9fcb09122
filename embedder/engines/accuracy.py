"""Drift: how far another engine or a lower precision moves the embeddings, measured on the user's own images."""

from typing import Any

import numpy as np

from frieze.core import Floats, MismatchError, Rows, unit_rows
from frieze.features import top_k

LEAST_COSINE = 0.9999
"""The least cosine in float32 across engines, batch sizes, threads and devices."""

LEAST_RECALL = 0.95
"""The least recall@10 of a lower precision against float32."""

ENOUGH = 200
"""With fewer images recall@10 is too noisy to judge by."""

_K = 10


def measure_drift(embeddings: Floats, reference: Floats) -> dict[str, Any]:
    """Compare embeddings with those of the reference engine in float32.

    Args:
        embeddings: float32 [N, D].
        reference: float32 [N, D], of the same images.

    Returns:
        `images`, without those whose reference is zero or not finite; `least_cosine` and `median_cosine` of each
        image's two vectors, 0 where only the reference is finite; `recall_at_10`, the share of its ten nearest other
        images that are found again, None for fewer than `ENOUGH` images.

    >>> measure_drift(np.eye(2, dtype="f4"), np.eye(2, dtype="f4"))["least_cosine"]
    1.0
    """
    is_usable = np.isfinite(reference).all(axis=1) & reference.any(axis=1)
    embeddings, reference = embeddings[is_usable], reference[is_usable]
    embeddings = np.where(np.isfinite(embeddings).all(axis=1, keepdims=True), embeddings, np.float32(0))
    cosines = (unit_rows(embeddings) * unit_rows(reference)).sum(axis=1)
    recall = _recall(embeddings, reference) if len(embeddings) >= ENOUGH else None
    return {
        "images": len(embeddings),
        "least_cosine": round(float(cosines.min(initial=1)), 6),
        "median_cosine": round(float(np.median(cosines)), 6) if len(cosines) else 1.0,
        "recall_at_10": None if recall is None else round(recall, 4),
    }


def check_drift(drift: dict[str, Any], *, engine: str, precision: str) -> None:
    """Check that the embeddings are close enough to the reference's.

    Raises:
        MismatchError: In float32 a cosine is below `LEAST_COSINE`; in a lower precision the recall is below
            `LEAST_RECALL`, if there were enough images to measure it.
    """
    is_full = precision == "float32"
    recall = drift["recall_at_10"]
    is_close = drift["least_cosine"] >= LEAST_COSINE if is_full else recall is None or recall >= LEAST_RECALL
    if not is_close:
        required = f"a cosine of {LEAST_COSINE}" if is_full else f"a recall of {LEAST_RECALL}"
        recalled = "" if recall is None else f", and {recall:.3f} of each one's ten nearest are found again"
        raise MismatchError(
            f"{engine} in {precision} changes this backbone's embeddings too much: on {drift['images']} of the images"
            f" the cosine to float32 is {drift['least_cosine']:.4f} at the least, {drift['median_cosine']:.4f} in the"
            f" median{recalled}; required is {required}.",
            hint="Leave `engine` and `precision` out, or take the embeddings as they are with `accept_drift=True`.",
        )


def _recall(embeddings: Floats, reference: Floats) -> float:
    pairs = zip(_neighbours(embeddings), _neighbours(reference), strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) / _K for pair in pairs]))


def _neighbours(embeddings: Floats) -> list[Rows]:
    """Find the ten nearest other rows of each row."""
    rows, _ = top_k(embeddings, embeddings, k=_K + 1)
    return [near[near != row][:_K] for row, near in enumerate(rows)]

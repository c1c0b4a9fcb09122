"""What another engine or a lower precision does to the vectors, seen on the user's own images."""

from typing import Any

import numpy as np

from frieze.core import Floats, MismatchError, Rows, unit_rows
from frieze.features import top_k

LEAST_COSINE = 0.9999
"""What float32 keeps over engines, batch sizes, threads and devices."""

LEAST_RECALL = 0.95
"""Share of each image's ten nearest that a lower precision has to find again."""

ENOUGH = 200
"""With fewer images than this the neighbours say too little."""

_K = 10


def measure_drift(embeddings: Floats, reference: Floats) -> dict[str, Any]:
    """Hold embeddings against those of the reference engine in float32.

    Args:
        embeddings: float32 [N, D].
        reference: float32 [N, D], of the same images.

    Returns:
        `images`, less those of which the reference gives zeros or no finite numbers; `least_cosine` and `median_cosine`
        of each image's two vectors, 0 where the reference's alone is finite; `recall_at_10`, the share of its ten
        nearest other images that are found again, None for fewer than `ENOUGH` images.

    >>> measure_drift(np.eye(2, dtype="f4"), np.eye(2, dtype="f4"))["least_cosine"]
    1.0
    """
    is_usable = np.isfinite(reference).all(axis=1) & reference.any(axis=1)  # of the others there is nothing to keep
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
    """Refuse an engine whose embeddings are too far from the reference's.

    Raises:
        MismatchError: In float32 a cosine is below `LEAST_COSINE`; in a lower precision the recall is below
            `LEAST_RECALL`, where there were images enough to measure it.
    """
    is_full = precision == "float32"
    recall = drift["recall_at_10"]
    holds = drift["least_cosine"] >= LEAST_COSINE if is_full else recall is None or recall >= LEAST_RECALL
    if not holds:
        wanted = f"a cosine of {LEAST_COSINE}" if is_full else f"a recall of {LEAST_RECALL}"
        found = "" if recall is None else f", and {recall:.3f} of each one's ten nearest are found again"
        raise MismatchError(
            f"{engine} in {precision} changes this backbone's embeddings too much: on {drift['images']} of the images"
            f" the cosine to float32 is {drift['least_cosine']:.4f} at the least, {drift['median_cosine']:.4f} in the"
            f" median{found}; wanted is {wanted}.",
            hint="Leave --engine and --precision out, or take the embeddings as they are with --accept-drift.",
        )


def _recall(embeddings: Floats, reference: Floats) -> float:
    found, wanted = _neighbours(embeddings), _neighbours(reference)
    return float(np.mean([len(np.intersect1d(*pair)) / _K for pair in zip(found, wanted, strict=True)]))


def _neighbours(embeddings: Floats) -> list[Rows]:
    """Give the ten nearest other rows of each row."""
    rows, _ = top_k(embeddings, embeddings, k=_K + 1)
    return [near[near != row][:_K] for row, near in enumerate(rows)]

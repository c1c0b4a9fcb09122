"""Conflicts among near-duplicates: copies under two labels, copies on both sides of a split (leakage)."""

from collections.abc import Iterator

import numpy as np

from frieze.core import Floats, Rows, Strings
from frieze.features import METRICS

_BLOCK_FLOATS = 1 << 22  # scores held at once: 16 MB


def conflicting_groups(groups: Rows, values: Strings) -> Iterator[Rows]:
    """Find the groups of near-duplicates whose values differ.

    Args:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        values: What copies should share [N], such as their labels; rows with None are ignored.

    Yields:
        int64 rows of one group, those with a value, ascending.

    >>> [rows.tolist() for rows in conflicting_groups(np.array([0, 1, 0, 1]), np.array(["a", "b", "c", "b"], object))]
    [[0, 2]]
    """
    rows = np.flatnonzero((groups >= 0) & [value is not None for value in values])
    rows = rows[np.argsort(groups[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1):
        if len(set(values[group])) > 1:
            yield group


def nearest_conflict(embeddings: Floats, values: Strings) -> float:
    """Compute the highest similarity of two rows of a group whose values differ.

    Args:
        embeddings: float32 [n, D], of unit length.
        values: [n], two or more different ones.

    Returns:
        The highest cosine of two such rows, clipped to [0, 1]; 1 for equal images.
    """
    step = max(1, _BLOCK_FLOATS // len(embeddings))
    nearest = 0.0
    for start in range(0, len(embeddings), step):
        block = slice(start, start + step)
        scores = METRICS["dot"](embeddings[block], embeddings)  # [step, n]
        nearest = max(nearest, float(scores[values[block][:, None] != values].max(initial=0)))
    return min(nearest, 1.0)


def majority_label(labels: Strings) -> str | None:
    """Return the label of more than half of a group, None without one.

    >>> majority_label(np.array(["a", "b", "a"])), majority_label(np.array(["a", "b"]))
    ('a', None)
    """
    names, counts = np.unique(labels.astype(str), return_counts=True)
    return str(names[counts.argmax()]) if 2 * counts.max() > len(labels) else None

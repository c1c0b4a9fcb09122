"""Reading a table's embeddings in one pass, without holding them all."""

from collections.abc import Iterator

import numpy as np

from features import FeatureFileError, Features, Floats, Rows

_SEED = 0


def stream(features: Features) -> Iterator[tuple[int, Floats]]:
    """Read the embeddings piece by piece.

    Yields:
        The number of the piece's first row, and embeddings float32 [n, D], n >= 1, all finite.

    Raises:
        FeatureFileError: A part is missing or broken, or a value is not finite.
    """
    start = 0
    for ids, embeddings in features.batches():
        bad = ~np.isfinite(embeddings).all(axis=1)
        if bad.any():
            raise FeatureFileError(
                f"The embedding of {ids[bad.argmax()]} in {features.path} holds a value that is not finite.",
                mend="Embed that image anew: remove it from its folder, run frieze embed, put it back, run again.",
            )
        yield start, embeddings
        start += len(embeddings)


def draw_rows(n_rows: int, n_drawn: int) -> Rows:
    """Draw different rows evenly over the table, the same ones each time.

    Returns:
        int64 [min(n_drawn, n_rows)], ascending.

    >>> draw_rows(3, 10).tolist()
    [0, 1, 2]
    """
    drawn: Rows = np.random.default_rng(_SEED).choice(n_rows, size=min(n_drawn, n_rows), replace=False)
    return np.sort(drawn).astype(np.int64)


def take_rows(features: Features, rows: Rows) -> Floats:
    """Read the embeddings of some rows in one pass.

    Args:
        features: The table.
        rows: int64 [n], ascending.

    Returns:
        float32 [n, D].
    """
    taken = np.empty((len(rows), features.spec.dim), np.float32)
    for start, embeddings in stream(features):
        first, last = np.searchsorted(rows, [start, start + len(embeddings)])
        taken[first:last] = embeddings[rows[first:last] - start]
    return taken

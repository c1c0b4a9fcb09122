"""Labelled embeddings that come in pieces, so that they need not lie in memory at once."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows

Doubles = npt.NDArray[np.float64]
"""float64, where sums of many rows must keep their digits."""
Pieces = Iterable[tuple[Floats, Rows]]
"""Pieces (embeddings float32 [n, D], codes int64 [n] in 0..C-1) that can be gone through many times, always in the same
order; what is in memory is one piece: `[(embeddings, codes)]`."""
_BLOCK_ROWS = 1024  # large enough for the matrix product, small enough for the [n, C] between to stay in the cache
_ROWS_PER_WIDTH = 2


def blocks(pieces: Pieces, weights: Floats | None) -> Iterator[tuple[Floats, Rows, Floats]]:
    """Give all rows in blocks of at most 1024, in order.

    Args:
        pieces: The rows.
        weights: float32 [N], >= 0, one a row; all 1 where None.

    Yields:
        embeddings: float32 [n, D]; a view of the piece.
        codes: int64 [n].
        weights: float32 [n].

    Raises:
        ValueError: There are no rows, or more or fewer weights than rows.
    """
    n_rows = 0
    for embeddings, codes in pieces:
        for start in range(0, len(codes), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            own = codes[block]
            at = n_rows + start
            yield embeddings[block], own, _weights_of(weights, at, len(own))
        n_rows += len(codes)
    if not n_rows:
        raise ValueError("There are no rows. Pieces are gone through many times: a generator, once used, is empty.")
    if weights is not None and len(weights) != n_rows:
        raise ValueError(f"There are {len(weights)} weights for {n_rows} rows.")


def _weights_of(weights: Floats | None, start: int, n_rows: int) -> Floats:
    if weights is None:
        return np.ones(n_rows, np.float32)
    if len(weights) < start + n_rows:
        raise ValueError(f"There are {len(weights)} weights for {start + n_rows} rows or more.")
    return weights[start : start + n_rows]


def mean_products(pieces: Pieces, weights: Floats | None) -> Doubles:
    """Estimate the weighted mean of x x' over all rows, where x is an embedding with a 1 behind it.

    The first 2 D rows count in full; the further on, the fewer rows are looked at, each for more of its neighbours. Of
    N rows that is about 2 D (1 + log(N / 2 D)), and as good as 4 D rows drawn from all.

    Args:
        pieces: The rows.
        weights: float32 [N], >= 0, or None.

    Returns:
        float64 [D + 1, D + 1], symmetric, positive semidefinite; 0 where all weights are.

    >>> mean_products([(np.array([[2.0], [4.0]], "f4"), np.array([0, 1]))], None).tolist()
    [[10.0, 3.0], [3.0, 1.0]]
    """
    n_rows, total, products = 0, 0.0, np.zeros((1, 1))
    for embeddings, _, own in blocks(pieces, weights):
        width = embeddings.shape[1]
        stride = 1 + n_rows // (_ROWS_PER_WIDTH * width)
        chosen, heavy = embeddings[::stride], own[::stride, None]
        rows = np.column_stack([chosen, np.ones(len(chosen), np.float32)])
        share = len(embeddings) / len(chosen)
        products = products + share * ((heavy * rows).T @ rows)
        total += share * float(heavy.sum())
        n_rows += len(embeddings)
    return products / max(total, np.finfo(np.float64).tiny)


def drawn_rows(pieces: Pieces, weights: Floats | None, *, most: int) -> tuple[Floats, Floats]:
    """Draw rows evenly: every one, or every second, fourth and so on, until they are few enough.

    Args:
        pieces: The rows.
        weights: float32 [N], >= 0, or None.
        most: How many, >= 2.

    Returns:
        embeddings: float32 [n, D], most / 2 or more where there are so many.
        weights: float32 [n].

    >>> drawn_rows([(np.arange(9, dtype="f4")[:, None], np.zeros(9, int))], None, most=4)[0].ravel().tolist()
    [0.0, 4.0, 8.0]
    """
    n_rows, stride, n_kept, kept = 0, 1, 0, list[tuple[Floats, Floats]]()
    for embeddings, _, own in blocks(pieces, weights):
        chosen = slice(-n_rows % stride, None, stride)
        kept.append((embeddings[chosen], own[chosen]))
        n_rows, n_kept = n_rows + len(own), n_kept + len(kept[-1][1])
        while n_kept > most:
            rows, stride = _joined(kept), 2 * stride
            kept = [(rows[0][::2], rows[1][::2])]
            n_kept = len(kept[0][1])
    return _joined(kept)


def _joined(kept: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    return np.concatenate([rows for rows, _ in kept]), np.concatenate([own for _, own in kept])

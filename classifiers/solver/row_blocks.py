"""Labelled embeddings in blocks of rows, in memory or streamed: batching, mean products, sampling."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.embedding_rows import Codes
from frieze.core import Floats, count_cores, one_blas_thread

T = TypeVar("T")

Doubles = npt.NDArray[np.float64]
"""float64, where sums of many rows must keep their digits."""
RowBlocks = Iterable[tuple[Floats, Codes]]
"""Blocks (embeddings float32 [n, D], codes) that can be iterated many times, always in the same
order; rows in memory are one block: `[(embeddings, codes)]`."""
_BLOCK_ROWS = 1024  # large enough for the matrix product, small enough for [n, C] temporaries to stay in the cache
_ROWS_PER_WIDTH = 2
_FEW_BLOCKS = 4
_WAITING_PER_THREAD, _WAITING_BYTES = 2, 64 << 20


def small_blocks(row_blocks: RowBlocks, weights: Floats | None) -> Iterator[tuple[Floats, Codes, Floats]]:
    """Yield all rows in blocks of at most 1024, in order.

    Args:
        row_blocks: The rows.
        weights: float32 [N], >= 0, one a row; all 1 where None.

    Yields:
        embeddings: float32 [n, D]; a view of the block.
        codes: Of these rows.
        weights: float32 [n].

    Raises:
        ValueError: There are no rows, or more or fewer weights than rows.
    """
    n_rows = 0
    for embeddings, codes in row_blocks:
        for start in range(0, len(codes), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            block_codes = codes[block]
            yield embeddings[block], block_codes, _weights_of(weights, n_rows + start, len(block_codes))
        n_rows += len(codes)
    if not n_rows:
        raise ValueError("There are no rows. Row blocks are iterated many times: a generator is empty after the first.")
    if weights is not None and len(weights) != n_rows:
        raise ValueError(f"There are {len(weights)} weights for {n_rows} rows.")


def map_blocks(
    function: Callable[..., T], blocks: Iterator[tuple[Floats, Codes, Floats]], *, result_bytes: int = 0
) -> Iterator[T]:
    """Call a function with each of the blocks, on all cores, and yield the results in order.

    Each core multiplies blocks of its own: a product of matrices that BLAS shares between threads leaves them waiting
    for each other, the longer the busier the machine is. Few blocks are not worth threads.

    Args:
        function: Called with a block in a thread.
        blocks: From `small_blocks`.
        result_bytes: The size of a result: of large ones fewer wait at once, 64 MB or one for each core.
    """
    first = list(itertools.islice(blocks, _FEW_BLOCKS))
    n_threads = count_cores() if len(first) == _FEW_BLOCKS else 1
    if n_threads == 1:
        yield from itertools.starmap(function, itertools.chain(first, blocks))
        return
    most = min(_WAITING_PER_THREAD, _WAITING_BYTES // max(1, n_threads * result_bytes)) * n_threads
    waiting = deque[Future[T]]()
    with ThreadPoolExecutor(n_threads, "frieze-solver") as pool, one_blas_thread():
        for block in itertools.chain(first, blocks):
            waiting.append(pool.submit(function, *block))
            if len(waiting) > max(most, n_threads - 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _weights_of(weights: Floats | None, start: int, n_rows: int) -> Floats:
    if weights is None:
        return np.ones(n_rows, np.float32)
    if len(weights) < start + n_rows:
        raise ValueError(f"There are {len(weights)} weights for {start + n_rows} rows or more.")
    return weights[start : start + n_rows]


def mean_products(row_blocks: RowBlocks, weights: Floats | None) -> Doubles:
    """Estimate the weighted mean of x x' over all rows, where x is an embedding with a 1 appended.

    The first 2 D rows are used in full, later ones with a growing stride and weight. Of N rows that is about
    2 D (1 + log(N / 2 D)), as good as a sample of 4 D of all rows.

    Args:
        row_blocks: The rows.
        weights: float32 [N], >= 0, or None.

    Returns:
        float64 [D + 1, D + 1], symmetric, positive semidefinite; 0 where all weights are.

    >>> mean_products([(np.array([[2.0], [4.0]], "f4"), np.array([0, 1]))], None).tolist()
    [[10.0, 3.0], [3.0, 1.0]]
    """
    n_rows, total, products = 0, 0.0, np.zeros((1, 1))
    for embeddings, _, row_weights in small_blocks(row_blocks, weights):
        width = embeddings.shape[1]
        stride = 1 + n_rows // (_ROWS_PER_WIDTH * width)
        chosen, chosen_weights = embeddings[::stride], row_weights[::stride, None]
        rows = np.column_stack([chosen, np.ones(len(chosen), np.float32)])
        share = len(embeddings) / len(chosen)
        products = products + share * ((chosen_weights * rows).T @ rows)
        total += share * float(chosen_weights.sum())
        n_rows += len(embeddings)
    return products / max(total, np.finfo(np.float64).tiny)


def sample_rows(row_blocks: RowBlocks, weights: Floats | None, *, most: int) -> tuple[Floats, Floats]:
    """Sample rows evenly: every one, or every second, fourth and so on, until they are few enough.

    Args:
        row_blocks: The rows.
        weights: float32 [N], >= 0, or None.
        most: Maximum number of rows, >= 2.

    Returns:
        embeddings: float32 [n, D], most / 2 or more of them where the table has that many.
        weights: float32 [n].

    >>> sample_rows([(np.arange(9, dtype="f4")[:, None], np.zeros(9, int))], None, most=4)[0].ravel().tolist()
    [0.0, 4.0, 8.0]
    """
    n_rows, stride, n_kept, kept = 0, 1, 0, list[tuple[Floats, Floats]]()
    for embeddings, _, row_weights in small_blocks(row_blocks, weights):
        chosen = slice(-n_rows % stride, None, stride)
        kept.append((embeddings[chosen], row_weights[chosen]))
        n_rows, n_kept = n_rows + len(row_weights), n_kept + len(kept[-1][1])
        while n_kept > most:
            rows, stride = _concatenate(kept), 2 * stride
            kept = [(rows[0][::2], rows[1][::2])]
            n_kept = len(kept[0][1])
    return _concatenate(kept)


def _concatenate(kept: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    return np.concatenate([rows for rows, _ in kept]), np.concatenate([row_weights for _, row_weights in kept])

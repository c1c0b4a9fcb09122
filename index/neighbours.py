"""The nearest other rows of each row of an index: the edges of its k-NN graph."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from frieze.core import Floats, Rows
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import draw_rows
from frieze.indexing.stored_index import Index

_BLOCK_EDGES = 1 << 18  # edges of a block: some 30 MB of names
_N_MEASURED = 500  # rows whose nearest are searched exactly, to measure the recall


class Edges(NamedTuple):
    """Some rows and their nearest others.

    Attributes:
        rows: int64 [n].
        neighbours: int64 [n, k], best first.
        scores: float32 [n, k].
    """

    rows: Rows
    neighbours: Rows
    scores: Floats


def find_neighbours(index: Index, *, k: int, progress: Callable[[int, int], None] = lambda *_: None) -> Iterator[Edges]:
    """Yield the k nearest others of all rows, block by block, in the order of the table.

    Args:
        index: An opened index of N >= 2 rows.
        k: 1 <= k < N.
        progress: Called with the number of rows done and N.
    """
    step = max(1, _BLOCK_EDGES // (k + 1))
    for start in range(0, len(index), step):
        progress(start, len(index))
        yield _nearest_others(index.searcher, np.arange(start, min(start + step, len(index))), k)
    progress(len(index), len(index))


def measure_graph_recall(index: Index, *, k: int) -> tuple[float, int] | None:
    """Measure the share of the k nearest others that `find_neighbours` finds, by an exact search for up to 500 rows.

    Returns:
        The recall, in [0, 1], and the number of rows; None for an exact index. A row found in the place of one of equal
        score counts.
    """
    if index.searcher.faiss_index is None:
        return None
    rows = draw_rows(len(index), _N_MEASURED)
    flat = Searcher(index.searcher.flat, None, kind="exact", metric=index.metric)
    exact, actual = (_nearest_others(searcher, rows, k) for searcher in (flat, index.searcher))
    last = exact.scores[:, -1:] - 1e-6 * np.maximum(1, np.abs(exact.scores[:, -1:]))
    return float((actual.scores >= last).mean()), len(rows)


def _nearest_others(searcher: Searcher, rows: Rows, k: int) -> Edges:
    """Search for one more than k, and leave out the row itself; where it is not among them, the last."""
    hits, scores = searcher.search(searcher.reconstruct(rows), k=k + 1)
    is_other = hits != rows[:, None]
    is_other[is_other.all(axis=1), -1] = False
    return Edges(rows, hits[is_other].reshape(-1, k), scores[is_other].reshape(-1, k))

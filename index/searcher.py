"""FAISS in our terms: an index of one kind and metric that gives rows and scores, higher is nearer."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features import FeatureFileError, Floats, InputError, Rows, count_cores
from index.kinds import KINDS
from index.measures import MEASURES

_BLOCK_FLOATS = 1 << 24  # values of found rows held at once: 64 MB


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Let FAISS use the cores this process may use while the block runs, and give them back after it."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count_cores())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class Searcher:
    """A FAISS index and how hard it looks.

    Args:
        raw: The FAISS index.
        kind: A key of `KINDS`.
        metric: A key of `MEASURES`.
        effort: Value of the kind's knob, >= 1; kinds without one ignore it.
    """

    def __init__(self, raw: Any, *, kind: str, metric: str, effort: int = 1) -> None:
        self.raw = raw
        self.effort = effort
        self._kind = KINDS[kind]
        self._measure = MEASURES[metric]

    def search(self, queries: Floats, *, k: int) -> tuple[Rows, Floats]:
        """Find k rows for each query.

        Args:
            queries: float32 [Q, D], finite.
            k: 1 <= k <= N.

        Returns:
            rows: int64 [Q, k], best first; of those found, rows of equal score in ascending order.
            scores: float32 [Q, k].

        Raises:
            InputError: A score leaves the range of float32.
        """
        ready = self._measure.prepare(queries)
        with all_cores():
            numbers, rows = self._find(ready, k)
            scores = self._rescore(ready, rows) if self._measure.is_rough else self._measure.to_scores(numbers)
        order = np.lexsort((rows, -scores))  # along the last axis
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def reconstruct(self, rows: Rows) -> Floats:
        """Give stored rows [n] as float32 [n, D], as the metric stores them (of unit length for cosine)."""
        vectors: Floats = self._readable.reconstruct_batch(rows)
        return vectors

    @functools.cached_property
    def _readable(self) -> Any:
        if hasattr(self.raw, "make_direct_map"):
            self.raw.make_direct_map()
        return self.raw

    def _find(self, ready: Floats, k: int) -> tuple[Floats, Rows]:
        numbers, rows = self.raw.search(ready, k, params=self._parameters(self.effort))
        effort = self.effort
        # FAISS pads with -1 when the lists it looked into hold fewer than k rows.
        while self._kind.knob and effort < self.raw.ntotal and (short := (rows < 0).any(axis=1)).any():
            effort *= 2
            numbers[short], rows[short] = self.raw.search(ready[short], k, params=self._parameters(effort))
        if (rows < 0).any():
            raise InputError(
                f"Query {(rows < 0).any(axis=1).argmax()} is too large: its scores leave the range of float32.",
                mend="Scale the queries as the stored embeddings are scaled.",
            )
        return numbers, rows

    def _parameters(self, effort: int) -> Any:
        if not self._kind.knob:
            return None
        import faiss

        return getattr(faiss, self._kind.parameters)(**{self._kind.knob: effort})

    def _rescore(self, ready: Floats, rows: Rows) -> Floats:
        scores = np.empty(rows.shape, np.float32)
        step = max(1, _BLOCK_FLOATS // (rows.shape[1] * self.raw.d))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            vectors = self.reconstruct(block.ravel()).reshape(*block.shape, -1)  # [q, k, D]
            scores[start : start + step] = -np.linalg.norm(vectors - ready[start : start + step, None], axis=2)
        return scores


def save(searcher: Searcher, path: Path) -> None:
    """Write the FAISS file.

    Raises:
        OSError: The disk is full or refuses.
    """
    import faiss

    # Through a file of our own: given a path, FAISS leaves a full disk at the last bytes unnoticed.
    with path.open("wb") as file:
        writer = faiss.PyCallbackIOWriter(file.write)  # type: ignore[attr-defined]  # left out of FAISS's stubs
        faiss.write_index(searcher.raw, writer)


def load(path: Path, *, mend: str) -> Any:
    """Open a FAISS file without reading it: the system maps what a search touches.

    Raises:
        FeatureFileError: It is missing, cut short or broken.
    """
    import faiss

    try:
        # Measured: this flag maps the lists of IVF too, and answers one query 4x faster than IO_FLAG_MMAP,
        # which starts prefetching threads for each.
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise FeatureFileError(f"{path} is missing or broken: {str(error).split('Error: ')[-1]}.", mend=mend) from error

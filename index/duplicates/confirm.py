"""Compare candidate pairs on their pixels, in threads, and remember what came of it."""

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frieze.core import Rows, SqliteCache, count_cores
from frieze.indexing.duplicates.alignment import Picture, Pixels
from frieze.indexing.duplicates.compare import Match, compare
from frieze.indexing.duplicates.image_facts import ImageFacts

SMALL_PX, LARGE_PX = 192, 448
"""The longer side of the pictures that are compared, and of those that are looked at where these leave a doubt."""
_VERSION = "6"
"""Of the rules: what was decided by others is decided anew."""
_N_PICTURES = 1_000  # kept in memory: some 200 MB

ReadPicture = Callable[[str, str, int], Pixels | None]
"""URI, a text that changes with its bytes, and the longest side in pixels -> uint8 [H, W, 3]; None if unreadable."""


class Confirmer:
    """Decides on the pixels whether two images are copies of one picture.

    Args:
        read: Reads an image in small; called in threads.
        facts: The images.
        cache: Where decisions are kept, or None.

    Attributes:
        n_compared: Pairs compared so far, those remembered included.
        unreadable: Rows that could not be read.
    """

    def __init__(self, read: ReadPicture, facts: ImageFacts, cache: SqliteCache | None) -> None:
        self._versions, self._n_pixels = facts.versions, facts.n_pixels
        self._cache = cache
        self._small = _Pictures(read, facts, SMALL_PX, _N_PICTURES)
        self._large = _Pictures(read, facts, LARGE_PX, _N_PICTURES // 20)
        self.n_compared = 0

    @property
    def unreadable(self) -> set[int]:
        """Rows that could not be read."""
        return self._small.unreadable | self._large.unreadable

    def compare(self, pairs: Rows, by_features: npt.NDArray[np.bool_]) -> list[Match | None]:
        """Compare pairs.

        Args:
            pairs: int64 [n, 2].
            by_features: bool [n]: where to look for crops and turns by any angle too.

        Returns:
            Of each pair how it matches, or None where it does not, or that can't be told.
        """
        tasks = [
            _Task(row, other, thorough)
            for (row, other), thorough in zip(pairs.tolist(), by_features.tolist(), strict=True)
        ]
        pool = ThreadPoolExecutor(count_cores(), "frieze-pairs", _use_one_faiss_thread)
        try:
            with one_library_thread():
                matches = self._compare(tasks, pool)
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the pairs in hand alone
        self.n_compared += len(pairs)
        return [
            None if match is None else _weigh(match, tuple(n_pixels))
            for match, n_pixels in zip(matches, self._n_pixels[pairs].tolist(), strict=True)
        ]

    def _compare(self, tasks: list["_Task"], pool: ThreadPoolExecutor) -> list[Match | None]:
        keys = [self._key(task) for task in tasks]
        known = self._remembered(keys)
        new = [at for at, key in enumerate(keys) if key not in known]
        compared = dict(zip(new, pool.map(lambda at: self._decide(tasks[at]), new), strict=True))
        if self._cache is not None:
            unreadable = self.unreadable
            self._cache.put(
                {
                    keys[at]: _to_bytes(match)
                    for at, match in compared.items()
                    if keys[at] and not unreadable.intersection((tasks[at].row, tasks[at].other))
                }
            )
        return [compared[at] if at in compared else known[key] for at, key in enumerate(keys)]

    def _remembered(self, keys: list[str]) -> dict[str, Match | None]:
        """Return the decisions that are kept; one that can't be read is made anew."""
        known: dict[str, Match | None] = {}
        for key, data in ({} if self._cache is None else self._cache.get(filter(None, keys))).items():
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                known[key] = _from_bytes(data)
        return known

    def _decide(self, task: "_Task") -> Match | None:
        first, second = self._small.get(task.row), self._small.get(task.other)
        if first is None or second is None:
            return None

        def details() -> tuple[Picture, Picture] | None:
            larger, other = self._large.get(task.row), self._large.get(task.other)
            return None if larger is None or other is None else (larger, other)

        return compare(first, second, details, by_features=task.by_features)

    def _key(self, task: "_Task") -> str:
        """Return the key of a decision; empty where the bytes are not known."""
        versions = self._versions[task.row], self._versions[task.other]
        return " ".join([_VERSION, *versions, str(int(task.by_features))]) if all(versions) else ""


def _weigh(match: Match, n_pixels: tuple[int, int]) -> Match | None:
    """Take the sizes of both images into account; None where neither of them can go."""
    match = match.with_sizes(n_pixels)
    return None if match.is_mutual_loss(n_pixels) else match


class _Task(NamedTuple):
    """Two rows to compare."""

    row: int
    other: int
    by_features: bool


class _Pictures:
    """The pictures used last, by row."""

    def __init__(self, read: ReadPicture, facts: ImageFacts, side_px: int, n_kept: int) -> None:
        self.unreadable: set[int] = set()
        self._read, self._facts, self._side_px = read, facts, side_px
        self._get = functools.lru_cache(n_kept)(self._open)
        self._lock = threading.Lock()

    def get(self, row: int) -> Picture | None:
        """Return the picture of a row; None where it can't be read."""
        return None if row in self.unreadable else self._get(row)

    def _open(self, row: int) -> Picture | None:
        uri = self._facts.uris[row].as_py()
        pixels = None if uri is None else self._read(uri, self._facts.versions[row], self._side_px)
        if pixels is None:
            with self._lock:
                self.unreadable.add(row)
            return None
        return Picture(pixels)


def _use_one_faiss_thread() -> None:
    """Let FAISS use one thread where this thread calls it."""
    import faiss

    faiss.omp_set_num_threads(1)


@contextlib.contextmanager
def one_library_thread() -> Iterator[None]:
    """Let OpenCV and NumPy use one thread: small pictures gain nothing by more, and ours are enough."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _blas().limit(limits=1):  # threads that wait for each other spin: four times the time and more
            yield
    finally:
        cv2.setNumThreads(before)


@functools.cache
def _blas() -> Any:
    """Return the libraries that multiply NumPy's matrices; to find them takes ten milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _to_bytes(match: Match | None) -> bytes:
    return json.dumps(match and match.to_json()).encode()


def _from_bytes(data: bytes) -> Match | None:
    fields: dict[str, Any] | None = json.loads(data)
    return None if fields is None else Match.from_json(fields)

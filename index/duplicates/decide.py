"""Decide on one pair of images, which are read in small; those used last are kept."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from frieze.core import one_blas_thread
from frieze.indexing.duplicates.alignment import Picture
from frieze.indexing.duplicates.compare import Match, compare
from frieze.indexing.duplicates.local_features import Pixels

SMALL_PX, LARGE_PX = 192, 448
"""The longer side of the pictures that are compared, and of those that are looked at where these leave a doubt."""
_N_PICTURES = 1_000  # kept in memory: some 200 MB
_N_SMALL_TO_LARGE = 20

ReadPicture = Callable[[str, str, int], Pixels | None]
"""URI, a text that changes with its bytes, and the longest side in pixels -> uint8 [H, W, 3]; None if unreadable."""


class Image(NamedTuple):
    """What is needed to read an image.

    Attributes:
        row: Of the index.
        uri: None where there is none.
        version: A text that changes with its bytes; empty where they are not known.
    """

    row: int
    uri: str | None
    version: str


class Pair(NamedTuple):
    """Two images to compare.

    Attributes:
        first: An image.
        second: Another one.
        by_features: Whether to look for crops and turns by any angle too.
    """

    first: Image
    second: Image
    by_features: bool


class Decider:
    """Decides whether two images are copies of one picture; threads may share it.

    Args:
        read: Reads an image in small.
        n_pictures: How many are kept in memory, of some 200 kB each.

    Attributes:
        unreadable: Rows that could not be read.
    """

    def __init__(self, read: ReadPicture, n_pictures: int = _N_PICTURES) -> None:
        self.unreadable: set[int] = set()
        self._read = read
        self._opened = {
            SMALL_PX: functools.lru_cache(n_pictures)(functools.partial(self._open, SMALL_PX)),
            LARGE_PX: functools.lru_cache(n_pictures // _N_SMALL_TO_LARGE)(functools.partial(self._open, LARGE_PX)),
        }

    def decide(self, pair: Pair) -> Match | None:
        """Return how the images match; None where they don't, or where that can't be told."""
        first, second = (self._get(image, SMALL_PX) for image in (pair.first, pair.second))
        if first is None or second is None:
            return None

        def details() -> tuple[Picture, Picture] | None:
            larger, other = (self._get(image, LARGE_PX) for image in (pair.first, pair.second))
            return None if larger is None or other is None else (larger, other)

        return compare(first, second, details, by_features=pair.by_features)

    def _get(self, image: Image, side_px: int) -> Picture | None:
        return None if image.row in self.unreadable else self._opened[side_px](image)

    def _open(self, side_px: int, image: Image) -> Picture | None:
        pixels = None if image.uri is None else self._read(image.uri, image.version, side_px)
        if pixels is None:
            self.unreadable.add(image.row)
            return None
        return Picture(pixels)


def use_one_faiss_thread() -> None:
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
        with one_blas_thread():
            yield
    finally:
        cv2.setNumThreads(before)

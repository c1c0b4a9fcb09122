"""Leakage of test images into the training pool, re-encoded or not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from tools.distill.crops import open_image

_SIDE_PX = 16
_BITS = 8 * 8
_MOST_BITS = 6  # of 64: another size or JPEG quality may flip that many
_LEAST_LIKENESS = 0.98  # correlation of two thumbnails; different photographs of one kind stay below


class Pool:
    """The training images, in which test images are looked up.

    Args:
        paths: The images.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._thumbnails = np.stack([_thumbnail(path) for path in paths])
        self._hashes = _hashes(self._thumbnails)

    def find(self, images: Iterable[Path | BinaryIO]) -> Iterator[tuple[int, Path]]:
        """Find images that are in the pool too, at any size and in any encoding.

        A difference hash of 64 bits (after Krawetz, 2013) finds the candidates, the thumbnails' correlation decides.

        Args:
            images: Test images: paths or open files.

        Yields:
            The number of each image found, with its duplicate in the pool.
        """
        for number, thumbnail in enumerate(map(_thumbnail, images)):
            near = np.bitwise_count(self._hashes ^ _hashes(thumbnail[None])) <= _MOST_BITS
            for column in np.flatnonzero(near):
                if _likeness(thumbnail, self._thumbnails[column]) >= _LEAST_LIKENESS:
                    yield number, self._paths[column]


def _thumbnail(image: Path | BinaryIO) -> np.ndarray:
    """Read an image as grey float32 [16, 16]."""
    with open_image(image) as opened:
        opened.draft("L", (4 * _SIDE_PX, 4 * _SIDE_PX))  # JPEG decodes at an eighth directly
        return np.asarray(opened.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX), np.float32)


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Compute uint64 [N]: in an 8 x 8 grid, whether each field is brighter than its right neighbour."""
    fields = thumbnails.reshape(-1, 8, 2, 8, 2).mean((2, 4))
    bits = fields > np.roll(fields, -1, axis=2)
    return np.packbits(bits.reshape(-1, _BITS), axis=1).view(np.uint64)[:, 0]


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two thumbnails; 0 where one of them is of one colour."""
    ours, theirs = one - one.mean(), other - other.mean()
    return float((ours * theirs).sum() / max(np.linalg.norm(ours) * np.linalg.norm(theirs), 1.0))

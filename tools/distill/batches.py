"""What the student learns from, batch by batch: the same for the same seed, whatever was run before."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

BATCH = 128
_JITTER = 0.15
_GREY = 0.1


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What is learnt from.

    Attributes:
        views: Files of uint8 [N, 128, 128, 3].
        targets: For each of them float32 [N, 256], of unit length.
        rows: Numbers of the images to learn from; the others of the views are left out.
        epochs: How often all images are seen; each epoch shows the next view.
        seed: Of the first weights, the order and the jitter.
        compiles: Whether PyTorch compiles the network: a third faster after a minute; needs a C++ compiler.
    """

    views: list[Path]
    targets: list[np.ndarray]
    rows: np.ndarray
    epochs: int
    seed: int
    compiles: bool = True


class Batch(NamedTuple):
    """What one step learns from.

    Attributes:
        pixels: uint8 [B, 128, 128, 3].
        gain: float32 [B, 1, 1, 1]; contrast around the middle grey.
        shift: float32 [B, 1, 1, 1]; brightness.
        targets: float32 [B, 256].
    """

    pixels: np.ndarray
    gain: np.ndarray
    shift: np.ndarray
    targets: np.ndarray


def batches(lesson: Lesson, epoch: int) -> Iterator[Batch]:
    """Give an epoch's batches, the next one read while one is learnt; what does not fill one is left out.

    Args:
        lesson: What is learnt from.
        epoch: From 0; it decides the view, the order and every change.

    Yields:
        The batches.
    """
    view = epoch % len(lesson.views)
    pixels = np.load(lesson.views[view], mmap_mode="r")
    order = np.random.default_rng([lesson.seed, epoch]).permutation(lesson.rows)
    order = order[: len(order) // BATCH * BATCH].reshape(-1, BATCH)

    def read(step: int) -> Batch:
        rows = order[step]
        draws = np.random.default_rng([lesson.seed, epoch, step]).random((4, BATCH), np.float32)
        gain = 1 + _JITTER * (2 * draws[0] - 1)
        shift = _JITTER * (2 * draws[1] - 1) + (1 - gain) / 2
        changed = _change(pixels[rows], is_mirrored=draws[2] < 0.5, is_grey=draws[3] < _GREY)  # noqa: PLR2004  a coin
        gain, shift = (values[:, None, None, None] for values in (gain, shift))
        return Batch(changed, gain, shift, lesson.targets[view][rows])

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, 0)
        for step in range(1, len(order) + 1):
            batch = coming.result()
            if step < len(order):
                coming = reader.submit(read, step)
            yield batch


def _change(pixels: np.ndarray, *, is_mirrored: np.ndarray, is_grey: np.ndarray) -> np.ndarray:
    """Mirror some of uint8 [B, H, W, 3], and take the colour from others: their target stays, the student guesses."""
    pixels[is_mirrored] = pixels[is_mirrored][:, :, ::-1]
    pixels[is_grey] = pixels[is_grey].mean(axis=-1, keepdims=True)
    return pixels

"""Training batches, which depend on seed and epoch alone."""

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
class TrainingData:
    """The training set and its options.

    Attributes:
        views: Files of uint8 [N, 128, 128, 3].
        targets: For each view float32 [N, 256], of unit length.
        rows: Rows of the views to train on.
        epochs: Passes over all images; each epoch uses the next view.
        seed: Of the first weights, the order and the jitter.
        compiles: Whether to use torch.compile: a third faster after a minute; needs a C++ compiler.
    """

    views: list[Path]
    targets: list[np.ndarray]
    rows: np.ndarray
    epochs: int
    seed: int
    compiles: bool = True


class Batch(NamedTuple):
    """The input of one training step.

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


def batches(data: TrainingData, epoch: int) -> Iterator[Batch]:
    """Yield an epoch's batches, the next one prefetched; the last incomplete batch is dropped.

    Args:
        data: The training set.
        epoch: From 0; determines the view, the order and the augmentation.

    Yields:
        The batches.
    """
    view = epoch % len(data.views)
    pixels = np.load(data.views[view], mmap_mode="r")
    order = np.random.default_rng([data.seed, epoch]).permutation(data.rows)
    order = order[: len(order) // BATCH * BATCH].reshape(-1, BATCH)

    def read(step: int) -> Batch:
        rows = order[step]
        draws = np.random.default_rng([data.seed, epoch, step]).random((4, BATCH), np.float32)
        gain = 1 + _JITTER * (2 * draws[0] - 1)
        shift = _JITTER * (2 * draws[1] - 1) + (1 - gain) / 2
        changed = _augment(pixels[rows], is_mirrored=draws[2] < 0.5, is_grey=draws[3] < _GREY)  # noqa: PLR2004  a coin
        gain, shift = (values[:, None, None, None] for values in (gain, shift))
        return Batch(changed, gain, shift, data.targets[view][rows])

    with ThreadPoolExecutor(1) as reader:
        prefetched = reader.submit(read, 0)
        for step in range(1, len(order) + 1):
            batch = prefetched.result()
            if step < len(order):
                prefetched = reader.submit(read, step)
            yield batch


def _augment(pixels: np.ndarray, *, is_mirrored: np.ndarray, is_grey: np.ndarray) -> np.ndarray:
    """Mirror some of uint8 [B, H, W, 3] and turn others grey, in place; their targets stay."""
    pixels[is_mirrored] = pixels[is_mirrored][:, :, ::-1]
    pixels[is_grey] = pixels[is_grey].mean(axis=-1, keepdims=True)
    return pixels

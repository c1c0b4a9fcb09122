"""The images of a fine-tuning: pixels or cached activations, augmented and batched."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from frieze.classifiers.kinds.mlp_batches import ReadErrors
from frieze.core import InputError, Rows, format_size, import_keras, import_tensorflow, write_file

Read = Callable[[Rows], Any]
"""Returns uint8 [n, H, W, 3] for n positions among the images."""


_PREFETCH = 4  # batches that are prefetched


CHUNK = 16  # images; the first maps of a wide network take 50 MB an image


class Inputs(Protocol):
    """Model inputs: arrays with a row for each image."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each array."""

    @property
    def dtype(self) -> str:
        """The NumPy type of the arrays."""

    def rows(self, positions: Rows) -> list[Any]:
        """Return rows [n, ...] of each array for positions int64 [n]."""


@dataclasses.dataclass
class Images(ReadErrors):
    """Pixels of the images, decoded on access."""

    read: Read
    shapes: list[tuple[int, ...]]
    dtype: str = "uint8"

    def rows(self, positions: Rows) -> list[Any]:
        """Return pixels uint8 [n, H, W, 3]."""
        with self.recording():
            return [self.read(positions)]


class CachedActivations:
    """Activations of the frozen layers for each image, cached in float16 files."""

    dtype = "float16"

    def __init__(self, folder: Path, lower: Any, images: Images, n_images: int) -> None:
        """Plan the files; `fill` writes them."""
        self.shapes = [tuple(int(side) for side in output.shape[1:]) for output in lower.outputs]
        self.n_bytes = sum(2 * n_images * int(np.prod(shape)) for shape in self.shapes)
        self._folder, self._lower, self._images, self._n_images = folder, lower, images, n_images
        self._files: list[Any] = []

    def fill(self, positions: Rows, step: Callable[[int, int], None]) -> None:
        """Compute the activations of some images, unless that was done before.

        Raises:
            InputError: The disk is too full, or activations are too large for float16.
        """
        done = self._folder / "done"
        if not done.exists():
            self._check_room()
            self._folder.mkdir(parents=True, exist_ok=True)
            files = self._open("w+")
            for start in range(0, len(positions), CHUNK):
                chosen = positions[start : start + CHUNK]
                outputs = self._lower(self._images.read(chosen) / np.float32(255), training=False)
                for file, maps in zip(files, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True):
                    file[chosen] = _to_float16(np.asarray(maps))
                step(min(start + CHUNK, len(positions)), len(positions))
            for file in files:
                file.flush()
            write_file(done, Path.touch)
        self._files = self._open("r")

    def rows(self, positions: Rows) -> list[Any]:
        """Return activations float16 [n, ...]."""
        return [file[positions] for file in self._files]

    def _open(self, mode: Any) -> list[Any]:
        return [
            np.memmap(self._folder / f"maps-{number}", np.float16, mode, shape=(self._n_images, *shape))
            for number, shape in enumerate(self.shapes)
        ]

    def _check_room(self) -> None:
        free = shutil.disk_usage(next(path for path in (self._folder, *self._folder.parents) if path.exists())).free
        if self.n_bytes > free:
            raise InputError(
                f"Cached activations take {format_size(self.n_bytes)};"
                f" {format_size(max(free, 1))} are free at {self._folder.parent}.",
                hint="Free some space, freeze more layers, or leave `cache` out.",
            )


def _to_float16(maps: Any) -> Any:
    with np.errstate(over="ignore"):
        converted = maps.astype(np.float16)
    if not np.isfinite(converted).all():
        raise InputError(
            "Activations of the frozen layers are too large for float16, or not finite.",
            hint="Leave `cache` out.",
        )
    return converted


def batches(inputs: Inputs, codes: Rows, positions: Rows, *, batch_size: int, seed: list[int] | None) -> Any:
    """Return a `tf.data.Dataset` of (arrays [b, ...], codes int64 [b]), prefetched.

    Args:
        inputs: Pixels or cached activations.
        codes: int64 [N], the class of each image.
        positions: int64 [n], the images of the dataset.
        batch_size: Rows a batch; the last may have fewer.
        seed: Seed of a shuffle; None for the order of `positions`.
    """
    tf = import_tensorflow()

    order = positions if seed is None else np.random.default_rng(seed).permutation(positions)

    def draw() -> Iterator[tuple[tuple[Any, ...], Rows]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield tuple(inputs.rows(chosen)), codes[chosen]

    specs = tuple(tf.TensorSpec((None, *shape), inputs.dtype) for shape in inputs.shapes)
    signature = (specs, tf.TensorSpec((None,), tf.int64))
    drawn = tf.data.Dataset.from_generator(draw, output_signature=signature)
    n_batches = -(-len(order) // batch_size)
    return drawn.apply(tf.data.experimental.assert_cardinality(n_batches)).prefetch(_PREFETCH)


_MAX_ZOOM = 0.25  # of the side; zooms in, which crops up to 44 % of the area


_MAX_SHIFT = 0.1


_MAX_COLOUR_CHANGE = 0.2


def augmentation(seed: int) -> list[Any]:
    """Return augmentation layers for images in [0, 1]: random flip, crop and colour, in training only.

    Args:
        seed: Random seed.
    """
    keras = import_keras()

    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomTranslation(_MAX_SHIFT, _MAX_SHIFT, fill_mode="reflect", seed=seed + 1),
        layers.RandomZoom((-_MAX_ZOOM, 0.0), fill_mode="reflect", seed=seed + 2),
        layers.RandomBrightness(_MAX_COLOUR_CHANGE, value_range=(0.0, 1.0), seed=seed + 3),
        layers.RandomContrast(_MAX_COLOUR_CHANGE, value_range=(0.0, 1.0), seed=seed + 4),
    ]

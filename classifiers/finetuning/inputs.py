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
"""Gives uint8 [n, H, W, 3] for n places among the images."""


_READY = 4  # batches that are made ahead


CHUNK = 16  # images; the first maps of a wide network take 50 MB an image


class Material(Protocol):
    """Rows of arrays by the places of their images."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each array."""

    @property
    def dtype(self) -> str:
        """The type of the arrays, in NumPy's word."""

    def rows(self, places: Rows) -> list[Any]:
        """Give each array's rows [n, ...] for places int64 [n]."""


@dataclasses.dataclass
class Images(ReadErrors):
    """The images themselves, decoded when they are asked for."""

    read: Read
    shapes: list[tuple[int, ...]]
    dtype: str = "uint8"

    def rows(self, places: Rows) -> list[Any]:
        """Give pixels uint8 [n, H, W, 3]."""
        with self.noted():
            return [self.read(places)]


class CachedActivations:
    """What a frozen network makes of images, once, in files of float16."""

    dtype = "float16"

    def __init__(self, folder: Path, lower: Any, images: Images, n_images: int) -> None:
        """Name the files; `fill` makes those that are not there."""
        self.shapes = [tuple(int(side) for side in output.shape[1:]) for output in lower.outputs]
        self.n_bytes = sum(2 * n_images * int(np.prod(shape)) for shape in self.shapes)
        self._folder, self._lower, self._images, self._n_images = folder, lower, images, n_images
        self._files: list[Any] = []

    def fill(self, places: Rows, step: Callable[[int, int], None]) -> None:
        """Run the images at some places through the frozen network, unless that was done before.

        Raises:
            InputError: The disk has no room for it, or its numbers are too large for float16.
        """
        done = self._folder / "done"
        if not done.exists():
            self._check_room()
            self._folder.mkdir(parents=True, exist_ok=True)
            files = self._open("w+")
            for start in range(0, len(places), CHUNK):
                chosen = places[start : start + CHUNK]
                found = self._lower(self._images.read(chosen) / np.float32(255), training=False)
                for file, maps in zip(files, found if isinstance(found, list | tuple) else [found], strict=True):
                    file[chosen] = _halved(np.asarray(maps))
                step(min(start + CHUNK, len(places)), len(places))
            for file in files:
                file.flush()
            write_file(done, Path.touch)
        self._files = self._open("r")

    def rows(self, places: Rows) -> list[Any]:
        """Give maps float16 [n, ...]."""
        return [file[places] for file in self._files]

    def _open(self, mode: Any) -> list[Any]:
        return [
            np.memmap(self._folder / f"maps-{number}", np.float16, mode, shape=(self._n_images, *shape))
            for number, shape in enumerate(self.shapes)
        ]

    def _check_room(self) -> None:
        free = shutil.disk_usage(next(path for path in (self._folder, *self._folder.parents) if path.exists())).free
        if self.n_bytes > free:
            raise InputError(
                f"What the frozen part makes of the images takes {format_size(self.n_bytes)};"
                f" {format_size(max(free, 1))} are free at {self._folder.parent}.",
                hint="Free some space, leave more layers frozen, or leave --cache out.",
            )


def _halved(maps: Any) -> Any:
    with np.errstate(over="ignore"):
        found = maps.astype(np.float16)
    if not np.isfinite(found).all():
        raise InputError(
            "What the frozen part makes of the images is too large for float16, or no number.",
            hint="Leave --cache out.",
        )
    return found


def batches(material: Material, codes: Rows, places: Rows, *, batch_size: int, seed: list[int] | None) -> Any:
    """Give a `tf.data.Dataset` of (arrays [b, ...], codes int64 [b]), some batches made ahead.

    Args:
        material: The rows.
        codes: int64 [N], the class of each image.
        places: int64 [n], which of them.
        batch_size: Rows a batch; the last may have fewer.
        seed: For their order; None for the order of `places`.
    """
    tf = import_tensorflow()

    order = places if seed is None else np.random.default_rng(seed).permutation(places)

    def draw() -> Iterator[tuple[tuple[Any, ...], Rows]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield tuple(material.rows(chosen)), codes[chosen]

    inputs = tuple(tf.TensorSpec((None, *shape), material.dtype) for shape in material.shapes)
    signature = (inputs, tf.TensorSpec((None,), tf.int64))
    drawn = tf.data.Dataset.from_generator(draw, output_signature=signature)
    n_batches = -(-len(order) // batch_size)
    return drawn.apply(tf.data.experimental.assert_cardinality(n_batches)).prefetch(_READY)


_ZOOM_OUT_OF = 0.25  # of the side; negative zooms in, so this cuts up to 44 % of the area off


_SHIFT = 0.1


_COLOUR = 0.2


def augmentation(seed: int) -> list[Any]:
    """Give Keras layers for images in [0, 1] that flip, crop and colour in training, and do nothing else.

    Args:
        seed: Decides what is drawn.
    """
    keras = import_keras()

    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomTranslation(_SHIFT, _SHIFT, fill_mode="reflect", seed=seed + 1),
        layers.RandomZoom((-_ZOOM_OUT_OF, 0.0), fill_mode="reflect", seed=seed + 2),
        layers.RandomBrightness(_COLOUR, value_range=(0.0, 1.0), seed=seed + 3),
        layers.RandomContrast(_COLOUR, value_range=(0.0, 1.0), seed=seed + 4),
    ]

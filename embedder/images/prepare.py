"""From the bytes of image files to the input of a backbone, one image or a batch."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from frieze.core import ImageError
from frieze.embedder.images.decode import MAX_PIXELS, decoded
from frieze.embedder.images.decoding_tally import Traits
from frieze.embedder.images.resize import Pixels, fit_image
from frieze.features import BackboneSpec, hash_images


class Prepared(NamedTuple):
    """An image as a backbone takes it.

    Attributes:
        pixels: uint8 [H, W, 3].
        size: Width and height of the image in pixels, as displayed.
        traits: Properties that are counted for the report.
    """

    pixels: Pixels
    size: tuple[int, int]
    traits: Traits


def prepare(data: bytes, spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS) -> Prepared:
    """Decode and resize an image's bytes into the input of a backbone.

    Args:
        data: The bytes of the file.
        spec: Image size, fit and version of decoding.
        max_pixels: Largest width times height accepted.

    Raises:
        ImageError: The bytes are not a usable image.
    """
    with decoded(data, side_px=max(spec.image_size), max_pixels=max_pixels, decoding=spec.decoding) as image:
        pixels = fit_image(image.image, fit=spec.fit, image_size=spec.image_size)
        return Prepared(pixels, image.size, image.traits)


def decode_for(data: bytes, spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS) -> tuple[Pixels, tuple[int, int]]:
    """Decode as `prepare` does.

    Returns:
        uint8 [H, W, 3], and the image's width and height in pixels as displayed.

    Raises:
        ImageError: The bytes are not a usable image.
    """
    pixels, size, _ = prepare(data, spec, max_pixels=max_pixels)
    return pixels, size


Result = tuple[tuple[int, int], Traits] | ImageError
"""Width and height as displayed, and traits; or why the image is unusable."""


Hashes = npt.NDArray[np.uint64]


class BatchResult(NamedTuple):
    """A decoded batch.

    Attributes:
        results: One for each image, in order.
        hashes: uint64 [n, 2], the perceptual hashes of each usable image, in the order of their pixels; 0 for none,
            and where none are computed.
        cpu_s: CPU seconds of a process; 0 in the calling thread.
    """

    results: list[Result]
    hashes: Hashes
    cpu_s: float = 0.0


class BatchDecoder(Protocol):
    """Decodes the images of one batch."""

    def add(self, data: bytes) -> None:
        """Decode an image, or start to."""

    def finish(self) -> BatchResult:
        """Wait for all; their pixels follow each other, without those of unusable images."""


class ThreadDecoder:
    """Decodes a batch in the calling thread.

    Args:
        spec: Image size, fit and version of decoding.
        max_pixels: Largest width times height accepted.
        pixels: uint8 [n, H, W, 3], where the images go; n is at least the number of images.
        hashes: Whether to compute perceptual hashes.
    """

    def __init__(self, spec: BackboneSpec, max_pixels: int, pixels: Pixels, *, hashes: bool = True) -> None:
        self._spec = spec
        self._max_pixels = max_pixels
        self._pixels = pixels
        self._hashes = hashes
        self._n_decoded = 0
        self._results: list[Result] = []

    def add(self, data: bytes) -> None:
        """Decode an image."""
        try:
            self._pixels[self._n_decoded], size, traits = prepare(data, self._spec, max_pixels=self._max_pixels)
            self._results.append((size, traits))
            self._n_decoded += 1
        except ImageError as error:
            self._results.append(error)

    def finish(self) -> BatchResult:
        """Compute the perceptual hashes, where they are asked for, and return the results."""
        if not self._hashes:
            return BatchResult(self._results, np.zeros((self._n_decoded, 2), np.uint64))
        return BatchResult(self._results, np.stack(hash_images(self._pixels[: self._n_decoded]), axis=1))

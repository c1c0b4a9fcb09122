"""From the bytes of image files to the input of a backbone, one image or a batch."""

import collections
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, ImageError
from frieze.embedder.images.decode import Decoded, converts_profiles, decoded, least_draft_px
from frieze.embedder.images.decoding_tally import Traits
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.resize import Pixels, fit_image
from frieze.embedder.images.sample_range import SampleRange, split_decoding
from frieze.features import BackboneSpec, hash_images, measure_pictures


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
        return Prepared(_fit(image, spec), image.size, image.traits)


def _fit(image: Decoded, spec: BackboneSpec) -> Pixels:
    return image.colours.to_srgb(fit_image(image.image, fit=spec.fit, image_size=spec.image_size))


def prepare_for_all(
    data: bytes, specs: Sequence[BackboneSpec], *, max_pixels: int = MAX_PIXELS
) -> list[Prepared | ImageError]:
    """Decode an image's bytes once, and resize it for several backbones.

    Only backbones whose pixels differ are decoded for anew: of inputs so large that a JPEG is decoded at another
    fraction of its size, with stretching, or of an older version of decoding.

    Args:
        data: The bytes of the file.
        specs: Image size, fit and version of decoding of each.
        max_pixels: Largest width times height accepted.

    Returns:
        For each spec what `prepare` gives or raises.
    """
    by_decoding = collections.defaultdict[tuple[int, SampleRange, bool], list[BackboneSpec]](list)
    for spec in specs:
        by_decoding[_decoding_of(spec)].append(spec)
    results = {decoding: _prepare_alike(data, alike, max_pixels) for decoding, alike in by_decoding.items()}
    return [results[_decoding_of(spec)].pop(0) for spec in specs]


def _decoding_of(spec: BackboneSpec) -> tuple[int, SampleRange, bool]:
    """Return all that decides the pixels of an image before it is resized."""
    least_px = least_draft_px(spec.decoding, side_px=max(spec.image_size))
    return least_px, split_decoding(spec.decoding)[1], converts_profiles(spec.decoding)


def _prepare_alike(data: bytes, specs: Sequence[BackboneSpec], max_pixels: int) -> list[Prepared | ImageError]:
    """Prepare an image for backbones of the same decoding; equal sizes share their pixels."""
    side_px, fitted = max(specs[0].image_size), dict[tuple[str, tuple[int, int]], Pixels]()
    try:
        with decoded(data, side_px=side_px, max_pixels=max_pixels, decoding=specs[0].decoding) as image:
            for spec in specs:
                key = spec.fit, spec.image_size
                if key not in fitted:
                    fitted[key] = _fit(image, spec)
            return [Prepared(fitted[spec.fit, spec.image_size], image.size, image.traits) for spec in specs]
    except ImageError as error:
        return [error for _ in specs]


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
        statistics: float32 [n, 6], of each usable image, in the order of their pixels; None where none are computed.
    """

    results: list[Result]
    hashes: Hashes
    cpu_s: float = 0.0
    statistics: Floats | None = None


class Computed(NamedTuple):
    """What is computed of the pixels beside the embedding.

    Attributes:
        hashes: Whether perceptual hashes are.
        statistics: Whether picture statistics are.
    """

    hashes: bool = True
    statistics: bool = False


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
        statistics: Whether to compute picture statistics.
    """

    def __init__(
        self, spec: BackboneSpec, max_pixels: int, pixels: Pixels, *, hashes: bool = True, statistics: bool = False
    ) -> None:
        self._spec = spec
        self._max_pixels = max_pixels
        self._pixels = pixels
        self._hashes = hashes
        self._statistics = statistics
        self._n_decoded = 0
        self._results: list[Result] = []

    def add(self, data: bytes) -> None:
        """Decode an image."""
        try:
            self.put(prepare(data, self._spec, max_pixels=self._max_pixels))
        except ImageError as error:
            self.put(error)

    def put(self, image: Prepared | ImageError) -> None:
        """Take an image that is decoded already."""
        if isinstance(image, ImageError):
            self._results.append(image)
            return
        self._pixels[self._n_decoded] = image.pixels
        self._results.append((image.size, image.traits))
        self._n_decoded += 1

    def finish(self) -> BatchResult:
        """Compute the perceptual hashes and picture statistics that are asked for, and return the results."""
        pixels, n_decoded = self._pixels[: self._n_decoded], self._n_decoded
        hashes = np.stack(hash_images(pixels), axis=1) if self._hashes else np.zeros((n_decoded, 2), np.uint64)
        sizes = [result[0] for result in self._results if not isinstance(result, ImageError)]
        statistics = measure_pictures(pixels, sizes) if self._statistics else None
        return BatchResult(self._results, hashes, statistics=statistics)

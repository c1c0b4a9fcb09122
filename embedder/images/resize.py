"""Resizes RGB images to the input size of a network, and scales pixels to its range."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] or [B, H, W, 3], RGB."""

_BILINEAR = Image.Resampling.BILINEAR  # Pillow widens the filter when shrinking, so this is antialiased


def _squash(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, _BILINEAR)


def _crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.fit(image, size, _BILINEAR)


def _pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.pad(image, size, _BILINEAR)


FITS: dict[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {"squash": _squash, "crop": _crop, "pad": _pad}
"""How an image is fitted to (width, height): aspect ratio ignored, edges cropped, or padded with black."""


def fit_image(image: Image.Image, *, fit: str, image_size: tuple[int, int]) -> Pixels:
    """Resize an image to the input size of a network.

    Args:
        image: Mode RGB or RGBX.
        fit: A key of `FITS`.
        image_size: Height and width in pixels.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = image_size
    rgb = FITS[fit](image, (width, height)).tobytes("raw", "RGB")
    return np.frombuffer(rgb, np.uint8).reshape(height, width, 3)


def _caffe(images: Any) -> Any:
    return images[..., ::-1] * 255.0 - np.array([103.939, 116.779, 123.68], np.float32)


def _torch(images: Any) -> Any:
    return (images - np.array([0.485, 0.456, 0.406], np.float32)) / np.array([0.229, 0.224, 0.225], np.float32)


PIXELS: dict[str, Callable[[Any], Any]] = {
    "0..1": lambda images: images,
    "-1..1": lambda images: images * 2.0 - 1.0,
    "0..255": lambda images: images * 255.0,
    "caffe": _caffe,
    "torch": _torch,
}
"""Range a network was trained on -> function from float32 [B, H, W, 3] in [0, 1] to that range.

Source: the modes of `keras.applications.imagenet_utils.preprocess_input`.
"""

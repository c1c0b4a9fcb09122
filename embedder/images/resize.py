"""Resizes RGB images to the input size of a network, and scales pixels to its range."""

import dataclasses
from collections.abc import Callable, Sequence
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


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """A range of pixels: a function from float32 [B, H, W, 3] in [0, 1] to it.

    Attributes:
        scale: The function, for colours in the order that the range has; of TensorFlow, Keras, OpenVINO or NumPy.
        is_bgr: Whether that order is blue, green, red.
    """

    scale: Callable[[Any], Any]
    is_bgr: bool = False

    def __call__(self, images: Any) -> Any:
        """Return images in this range."""
        return self.scale(images[..., ::-1] if self.is_bgr else images)


def _numbers(*values: float) -> npt.NDArray[np.float32]:
    """Return numbers as an array: OpenVINO takes those of Python for integers."""
    return np.array(values, np.float32)


def _standardized(mean: Sequence[float], deviation: Sequence[float]) -> PixelRange:
    return PixelRange(lambda images: (images - _numbers(*mean)) / _numbers(*deviation))


PIXELS: dict[str, PixelRange] = {
    "0..1": PixelRange(lambda images: images),
    "-1..1": PixelRange(lambda images: images * _numbers(2) - _numbers(1)),
    "0..255": PixelRange(lambda images: images * _numbers(255)),
    "caffe": PixelRange(lambda images: images * _numbers(255) - _numbers(103.939, 116.779, 123.68), is_bgr=True),
    "torch": _standardized((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": _standardized((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Range a network was trained on -> function from float32 [B, H, W, 3] in [0, 1] to that range.

Source: the modes of `keras.applications.imagenet_utils.preprocess_input`; for `clip`, clip/clip.py of openai/CLIP.
"""

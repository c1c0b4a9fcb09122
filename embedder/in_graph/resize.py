"""Resizes pixels to the input size of a network, in TensorFlow operations."""

from collections.abc import Callable
from typing import Any

from frieze.core import import_tensorflow

_Placed = tuple[Any, Any, Any]
"""int32 [2], the size that an image takes in the frame; float32 [2] each, the scale to it and the shift after that."""


def _squash(_tf: Any, source: Any, frame: Any) -> _Placed:
    return frame, frame / source, 0 * source


def _crop(tf: Any, source: Any, frame: Any) -> _Placed:
    scale = tf.reduce_max(frame / source)
    return frame, tf.stack([scale, scale]), (frame - source * scale) / 2


def _pad(tf: Any, source: Any, frame: Any) -> _Placed:
    size = tf.minimum(tf.round(source * tf.reduce_min(frame / source)), frame)
    size = tf.maximum(size, 1)  # Pillow has 0 pixels and a black picture for such a thin image
    return size, size / source, 0 * source


GRAPH_FITS: dict[str, Callable[[Any, Any, Any], _Placed]] = {"squash": _squash, "crop": _crop, "pad": _pad}
"""`FITS` in TensorFlow: how an image of height and width `source` is placed in a `frame`, both float64 [2]."""


def resize_pixels(pixels: Any, *, fit: str, image_size: tuple[int, int]) -> Any:
    """Resize images with the antialiased triangle filter that Pillow calls bilinear.

    Args:
        pixels: uint8 [N, h, w, 3].
        fit: A key of `FITS`.
        image_size: Height and width in pixels.

    Returns:
        uint8 [N, H, W, 3]; values halfway between two levels may be rounded differently from Pillow, on either axis.
    """
    tf = import_tensorflow()
    source, frame = (tf.cast(size, tf.float64) for size in (tf.shape(pixels)[1:3], image_size))
    placed = GRAPH_FITS[fit](tf, source, frame)
    size = placed[0]
    first = _first_axis(tf, source, size)
    for axis in (first, ~first):
        pixels = _resize(tf, pixels, placed, axis)
    top, left = tf.unstack(tf.cast(tf.round((frame - size) / 2), tf.int32))
    fitted = tf.image.pad_to_bounding_box(pixels, top, left, *image_size)
    return tf.ensure_shape(fitted, [None, *image_size, 3])


def _first_axis(tf: Any, source: Any, size: Any) -> Any:
    """Return which axis Pillow resizes first, because it rounds after each: bool [2], height and width.

    Width is first, unless height loses more than twice as many pixels (found by trying 700 sizes on Pillow 13).
    """
    loss = source - size
    is_height = (loss[0] > 0) & (loss[0] > 2 * loss[1])
    return tf.stack([is_height, ~is_height])


def _resize(tf: Any, pixels: Any, placed: _Placed, axis: Any) -> Any:
    """Resize along one axis, and round."""
    size, scale, shift = placed
    now = tf.cast(tf.shape(pixels)[1:3], tf.float64)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels,
        size=tf.cast(tf.where(axis, size, now), tf.int32),
        scale=tf.cast(tf.where(axis, scale, 1.0), tf.float32),
        translation=tf.cast(tf.where(axis, shift, 0.0), tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.cast(tf.floor(resized + 0.5), tf.uint8)

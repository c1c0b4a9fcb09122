"""Bytes of an image file -> upright RGB pixels, in TensorFlow's operations."""

import functools
from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.images.decode import LEAST_DRAFT_PX
from frieze.embedder.images.png_chunks import BIT_DEPTH_AT
from frieze.embedder.in_graph.deep_pixels import decode_deep_png
from frieze.embedder.in_graph.exif import read_orientation, turn_upright

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_RATIOS = (1, 2, 4, 8)  # the fractions at which libjpeg decodes


def decode_bytes(data: Any, *, side_px: int, stretches: bool = False) -> Any:
    """Decode an image file: first frame, EXIF orientation of a JPEG applied, alpha of a PNG over white.

    Args:
        data: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP file; anything else is TensorFlow's
            InvalidArgumentError when the graph runs.
        side_px: Longer side of what the network sees; a large JPEG is decoded at the fraction that `decode` takes.
        stretches: Take the lowest and highest value of a PNG of 16 bits a channel for black and white.

    Returns:
        uint8 [h, w, 3].
    """
    tf = import_tensorflow()

    def other() -> Any:
        return tf.cond(
            _begins(tf, data, _PNG), lambda: _decode_png(tf, data, stretches), lambda: _decode_other(tf, data)
        )

    image = tf.cond(_begins(tf, data, _JPEG), lambda: _decode_jpeg(tf, data, side_px), other)
    image.set_shape([None, None, 3])
    return image


def _begins(tf: Any, data: Any, signature: bytes) -> Any:
    return tf.equal(tf.strings.substr(data, 0, len(signature)), signature)


def _decode_jpeg(tf: Any, data: Any, side_px: int) -> Any:
    n_times = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // max(2 * side_px, LEAST_DRAFT_PX)
    which = tf.reduce_sum(tf.cast(n_times >= _RATIOS[1:], tf.int32))
    # The slow, exact cosine transform is Pillow's; TensorFlow's own default is a faster one.
    decode = functools.partial(tf.io.decode_jpeg, data, channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.switch_case(which, [functools.partial(decode, ratio=ratio) for ratio in _RATIOS])
    return turn_upright(image, read_orientation(data))


def _decode_png(tf: Any, data: Any, stretches: bool) -> Any:
    def shallow() -> Any:
        return tf.cast(tf.io.decode_png(data, channels=4), tf.float32)

    # TensorFlow's error of a place beyond the end would hold the bytes, which are no text.
    head = tf.strings.join([tf.strings.substr(data, 0, BIT_DEPTH_AT + 1), bytes(BIT_DEPTH_AT + 1)])
    is_deep = tf.equal(tf.strings.substr(head, BIT_DEPTH_AT, 1), b"\x10")
    image = tf.cond(is_deep, lambda: decode_deep_png(data, stretches=stretches), shallow)
    alpha = image[..., 3:] / 255.0
    return tf.cast(tf.round(image[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _decode_other(tf: Any, data: Any) -> Any:
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image

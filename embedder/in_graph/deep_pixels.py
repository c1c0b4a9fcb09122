"""A PNG of 16 bits a channel -> 8 bits, in TensorFlow's operations: `frieze.embedder.images.deep_pixels` once more."""

from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.images.png_chunks import COLOUR_TYPE_AT
from frieze.embedder.in_graph.head_bytes import find_text, read_head, read_numbers

_FULL, _WORD_BITS = 65535, 16
_GREY, _COLOURS, _HAS_ALPHA = 0, 2, 4  # PNG's colour types; the last is a bit of one
_SIGNIFICANT = b"sBIT"


def decode_deep_png(data: Any, *, stretches: bool) -> Any:
    """Decode a PNG of 16 bits a channel.

    Args:
        data: string [], its bytes.
        stretches: Take its lowest and highest value for black and white.

    Returns:
        float32 [h, w, 4], whole numbers from 0 to 255; a colour that is told to be transparent has alpha 0.
    """
    tf = import_tensorflow()
    image = tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.int32)
    kind = tf.io.decode_raw(tf.strings.substr(data, COLOUR_TYPE_AT, 1), tf.uint8)[0]
    has_alpha = (kind & _HAS_ALPHA) > 0
    values, alpha = image[..., :3], image[..., 3]
    seen = tf.boolean_mask(values, (alpha > 0) | has_alpha)
    told_bits = _significant_bits(tf, data)
    black, white = _range(tf, seen, told_bits, stretches=stretches)
    scaled = tf.cast(tf.clip_by_value(values, black, white) - black, tf.float32) * 255.0
    levels = tf.floor(scaled / tf.cast(white - black, tf.float32) + 0.5)
    # Of colours Pillow has the upper bytes, and no more is read where that is all that is needed.
    is_exact = (
        stretches | (kind == _GREY) | (told_bits < _WORD_BITS) | ((kind == _COLOURS) & (tf.reduce_min(alpha) == 0))
    )
    levels = tf.where(is_exact, levels, tf.cast(values // 256, tf.float32))
    return tf.concat([levels, tf.cast(alpha // 256, tf.float32)[..., None]], axis=-1)


def _significant_bits(tf: Any, data: Any) -> Any:
    """Return the bits of a sample that carry something, the first channel's; 16 where nothing is told."""
    head = read_head(data, len(_SIGNIFICANT))
    found = find_text(head, _SIGNIFICANT)
    bits = read_numbers(head, tf.argmax(found, output_type=tf.int32) + len(_SIGNIFICANT), 1, is_little=True)
    return tf.where((tf.reduce_max(found) == 1) & (bits > 1) & (bits < _WORD_BITS), bits, _WORD_BITS)


def _range(tf: Any, seen: Any, told_bits: Any, *, stretches: bool) -> tuple[Any, Any]:
    """Return the values that are to be black and white."""
    lowest, highest = tf.reduce_min(seen), tf.reduce_max(seen)
    one = tf.constant(1)
    told = tf.bitwise.left_shift(one, told_bits) - 1
    low_bits = tf.bitwise.left_shift(one, _WORD_BITS - told_bits) - 1
    holds = (highest <= told) & tf.reduce_any(tf.bitwise.bitwise_and(seen, low_bits) > 0)
    black, white = tf.constant(0), tf.where(holds, told, _FULL)
    if not stretches:
        return black, white
    varies = lowest < highest
    return tf.where(varies, lowest, black), tf.where(varies, highest, white)

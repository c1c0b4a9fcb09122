"""Bytes of an image file -> upright RGB pixels, in TensorFlow operations.

JPEG with EXIF orientation, PNG with alpha and 16 bits a channel, GIF, BMP and WebP: as `frieze.embedder.images` does.
"""

import functools
from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.images.decode import VERSION, least_draft_px
from frieze.embedder.images.png_chunks import BIT_DEPTH_AT, COLOUR_TYPE_AT
from frieze.embedder.images.sample_range import SampleRange, split_decoding

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_RATIOS = (1, 2, 4, 8)  # the fractions at which libjpeg decodes

_FULL, _WORD_BITS = 65535, 16
_GREY, _COLOURS, _HAS_ALPHA = 0, 2, 4  # PNG's colour types; the last is a bit of one
_SIGNIFICANT = b"sBIT"

_MARKER = b"Exif\x00\x00"
_TAG, _ENTRY_BYTES = 274, 12
_TRANSPOSED, _MIRRORED, _TURNED_OVER = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations that transpose, mirror, and flip an image (CIPA DC-008, tag 274)."""

_HEAD_BYTES = 1 << 16  # a JPEG segment is no longer, and EXIF is in the first or second one


def decode_bytes(data: Any, *, side_px: int, decoding: str = VERSION) -> Any:
    """Decode an image file: first frame, EXIF orientation of a JPEG applied, alpha of a PNG over white.

    Args:
        data: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP file; anything else is TensorFlow's
            InvalidArgumentError when the graph runs.
        side_px: Longer side of the network's input; a large JPEG is decoded at the same fraction as in `decode`.
        decoding: The version of decoding, as stored with a table.

    Returns:
        uint8 [h, w, 3].
    """
    tf = import_tensorflow()

    def other() -> Any:
        return tf.cond(
            _begins(tf, data, _PNG),
            lambda: _decode_png(tf, data, split_decoding(decoding)[1]),
            lambda: _decode_other(tf, data),
        )

    image = tf.cond(
        _begins(tf, data, _JPEG), lambda: _decode_jpeg(tf, data, least_draft_px(decoding, side_px=side_px)), other
    )
    image.set_shape([None, None, 3])
    return image


def _begins(tf: Any, data: Any, signature: bytes) -> Any:
    return tf.equal(tf.strings.substr(data, 0, len(signature)), signature)


def _decode_jpeg(tf: Any, data: Any, drafted_px: int) -> Any:
    n_times = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // drafted_px
    which = tf.reduce_sum(tf.cast(n_times >= _RATIOS[1:], tf.int32))
    # The slow, exact cosine transform is Pillow's; TensorFlow's default is a faster one.
    decode = functools.partial(tf.io.decode_jpeg, data, channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.switch_case(which, [functools.partial(decode, ratio=ratio) for ratio in _RATIOS])
    return _turn_upright(image, _read_orientation(data))


def _decode_png(tf: Any, data: Any, samples: SampleRange) -> Any:
    def shallow() -> Any:
        return tf.cast(tf.io.decode_png(data, channels=4), tf.float32)

    # Padded, because TensorFlow's error for an offset past the end contains the bytes, which are no text.
    head = tf.strings.join([tf.strings.substr(data, 0, BIT_DEPTH_AT + 1), bytes(BIT_DEPTH_AT + 1)])
    is_16_bit = tf.equal(tf.strings.substr(head, BIT_DEPTH_AT, 1), b"\x10")
    image = tf.cond(is_16_bit, lambda: _decode_16_bit_png(data, samples=samples), shallow)
    alpha = image[..., 3:] / 255.0
    return tf.cast(tf.round(image[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _decode_other(tf: Any, data: Any) -> Any:
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def _decode_16_bit_png(data: Any, *, samples: SampleRange) -> Any:
    """Decode a PNG of 16 bits a channel, as `frieze.embedder.images.bit_depth` does.

    Args:
        data: string [], its bytes.
        samples: The values of black and white that the user states.

    Returns:
        float32 [h, w, 4], integers from 0 to 255; the transparent colour has alpha 0.
    """
    tf = import_tensorflow()
    image = tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.int32)
    kind = tf.io.decode_raw(tf.strings.substr(data, COLOUR_TYPE_AT, 1), tf.uint8)[0]
    has_alpha = (kind & _HAS_ALPHA) > 0
    values, alpha = image[..., :3], image[..., 3]
    visible = tf.boolean_mask(values, (alpha > 0) | has_alpha)
    n_bits = _significant_bits(tf, data)
    black, white = _range(tf, visible, n_bits, samples=samples)
    scaled = (tf.clip_by_value(tf.cast(values, tf.float32), black, white) - black) * 255.0
    levels = tf.floor(scaled / (white - black) + 0.5)
    is_asked = samples.stretches or samples.scale is not None
    # Pillow decodes the upper bytes of colours, and the lower ones only where they are needed.
    is_exact = is_asked | (kind == _GREY) | (n_bits < _WORD_BITS) | ((kind == _COLOURS) & (tf.reduce_min(alpha) == 0))
    levels = tf.where(is_exact, levels, tf.cast(values // 256, tf.float32))
    return tf.concat([levels, tf.cast(alpha // 256, tf.float32)[..., None]], axis=-1)


def _significant_bits(tf: Any, data: Any) -> Any:
    """Return the significant bits a sample of the first channel; 16 by default."""
    head = _read_head(data, len(_SIGNIFICANT))
    is_chunk = _find_text(head, _SIGNIFICANT)
    bits = _read_numbers(head, tf.argmax(is_chunk, output_type=tf.int32) + len(_SIGNIFICANT), 1, is_little=True)
    return tf.where((tf.reduce_max(is_chunk) == 1) & (bits > 1) & (bits < _WORD_BITS), bits, _WORD_BITS)


def _range(tf: Any, visible: Any, n_bits: Any, *, samples: SampleRange) -> tuple[Any, Any]:
    """Return the values of black and white, float32."""
    if samples.scale is not None:
        return tuple(tf.constant(value, tf.float32) for value in samples.scale)
    lowest, highest = tf.reduce_min(visible), tf.reduce_max(visible)
    one = tf.constant(1)
    stated = tf.bitwise.left_shift(one, n_bits) - 1
    low_bits = tf.bitwise.left_shift(one, _WORD_BITS - n_bits) - 1
    holds = (highest <= stated) & tf.reduce_any(tf.bitwise.bitwise_and(visible, low_bits) > 0)
    black, white = tf.constant(0), tf.where(holds, stated, _FULL)
    if samples.stretches:
        varies = lowest < highest
        black, white = tf.where(varies, lowest, black), tf.where(varies, highest, white)
    return tf.cast(black, tf.float32), tf.cast(white, tf.float32)


def _read_orientation(data: Any) -> Any:
    """Read the orientation of a JPEG.

    Args:
        data: string [], its bytes.

    Returns:
        int32 [], 1 to 8; 1 for missing or invalid values.
    """
    tf = import_tensorflow()
    head = _read_head(data, len(_MARKER))
    is_marker = _find_text(head, _MARKER)
    start = tf.argmax(is_marker, output_type=tf.int32) + len(_MARKER)
    is_little = _read_numbers(head, start, 1, is_little=True) == ord("I")
    directory = start + _read_numbers(head, start + 4, 4, is_little=is_little)
    n_entries = _read_numbers(head, directory, 2, is_little=is_little)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(n_entries)
    tags, values = (_read_numbers(head, entries + at, 2, is_little=is_little) for at in (0, 8))
    value = tf.reduce_max(tf.where(tags == _TAG, values, 0))
    is_valid = (tf.reduce_max(is_marker) == 1) & (value >= 1) & (value <= max(_TRANSPOSED))
    return tf.where(is_valid, value, 1)


def _turn_upright(image: Any, orientation: Any) -> Any:
    """Turn an image upright.

    Args:
        image: [h, w, 3].
        orientation: int32 [], 1 to 8.
    """
    tf = import_tensorflow()
    steps = (
        (_TRANSPOSED, lambda one: tf.transpose(one, [1, 0, 2])),
        (_MIRRORED, lambda one: tf.reverse(one, [1])),
        (_TURNED_OVER, lambda one: tf.reverse(one, [0])),
    )
    for orientations, step in steps:
        image = _apply_if(tf, tf.reduce_any(orientation == orientations), step, image)
    return image


def _apply_if(tf: Any, condition: Any, step: Any, image: Any) -> Any:
    return tf.cond(condition, lambda: step(image), lambda: image)


def _read_head(data: Any, n_more: int) -> Any:
    """Return the first bytes of a file as numbers, int32 [n], padded with zeros for reads past the end."""
    tf = import_tensorflow()
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD_BYTES), tf.uint8)
    return tf.pad(tf.cast(head, tf.int32), [[0, n_more]])


def _find_text(head: Any, text: bytes) -> Any:
    """Return int32 [n], 1 at each occurrence of the text."""
    tf = import_tensorflow()
    n = tf.size(head) - len(text) + 1
    matches = [head[at : at + n] == letter for at, letter in enumerate(text)]
    return tf.cast(tf.reduce_all(matches, axis=0), tf.int32)


def _read_numbers(head: Any, at: Any, n_bytes: int, *, is_little: Any) -> Any:
    """Return the integers of `n_bytes` bytes at some offsets."""
    tf = import_tensorflow()
    offsets = at[..., None] + tf.range(n_bytes)
    numbers = tf.gather(head, tf.clip_by_value(offsets, 0, tf.size(head) - 1))  # [..., n_bytes]
    ordered = tf.where(is_little, numbers, tf.reverse(numbers, [-1]))
    return tf.reduce_sum(ordered * [256**power for power in range(n_bytes)], axis=-1)

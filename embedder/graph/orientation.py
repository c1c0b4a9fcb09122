"""EXIF orientation in TensorFlow's operations: its decoders leave a photograph as the camera was held."""

from typing import Any

from features import import_tensorflow

_HEAD_BYTES = 1 << 16  # a segment of a JPEG is no longer, and EXIF stands in the first or second one
_MARKER = b"Exif\x00\x00"
_TAG, _ENTRY_BYTES = 274, 12
_LYING, _MIRRORED, _TURNED_OVER = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations that swap width and height; then left and right; then top and bottom (CIPA DC-008, tag 274)."""


def read_orientation(data: Any) -> Any:
    """Read the orientation of a JPEG.

    Args:
        data: string [], its bytes.

    Returns:
        int32 [], 1 to 8; 1 where nothing or nonsense is told.
    """
    tf = import_tensorflow()
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD_BYTES), tf.uint8)
    head = tf.pad(tf.cast(head, tf.int32), [[0, len(_MARKER)]])  # what is asked for beyond the end is the last zero
    is_marker = _where(tf, head, _MARKER)
    start = tf.argmax(is_marker, output_type=tf.int32) + len(_MARKER)
    is_little = _numbers(tf, head, start, 1, is_little=True) == ord("I")
    directory = start + _numbers(tf, head, start + 4, 4, is_little=is_little)
    n_entries = _numbers(tf, head, directory, 2, is_little=is_little)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(n_entries)
    tags, values = (_numbers(tf, head, entries + at, 2, is_little=is_little) for at in (0, 8))
    value = tf.reduce_max(tf.where(tags == _TAG, values, 0))
    is_told = (tf.reduce_max(is_marker) == 1) & (value >= 1) & (value <= max(_LYING))
    return tf.where(is_told, value, 1)


def turn_upright(image: Any, orientation: Any) -> Any:
    """Turn an image as its orientation wants.

    Args:
        image: [h, w, 3].
        orientation: int32 [], 1 to 8.
    """
    tf = import_tensorflow()
    steps = (
        (_LYING, lambda one: tf.transpose(one, [1, 0, 2])),
        (_MIRRORED, lambda one: tf.reverse(one, [1])),
        (_TURNED_OVER, lambda one: tf.reverse(one, [0])),
    )
    for orientations, step in steps:
        image = _apply_if(tf, tf.reduce_any(orientation == orientations), step, image)
    return image


def _apply_if(tf: Any, wanted: Any, step: Any, image: Any) -> Any:
    return tf.cond(wanted, lambda: step(image), lambda: image)


def _where(tf: Any, head: Any, text: bytes) -> Any:
    """Give int32 [n], 1 where the text begins."""
    n = tf.size(head) - len(text) + 1
    found = [head[place : place + n] == letter for place, letter in enumerate(text)]
    return tf.cast(tf.reduce_all(found, axis=0), tf.int32)


def _numbers(tf: Any, head: Any, at: Any, n_bytes: int, *, is_little: Any) -> Any:
    """Read whole numbers at some places."""
    places = at[..., None] + tf.range(n_bytes)
    found = tf.gather(head, tf.clip_by_value(places, 0, tf.size(head) - 1))  # [..., n_bytes]
    ordered = tf.where(is_little, found, tf.reverse(found, [-1]))
    return tf.reduce_sum(ordered * [256**place for place in range(n_bytes)], axis=-1)

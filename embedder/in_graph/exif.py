"""EXIF orientation in TensorFlow's operations: its decoders leave a photograph as the camera was held."""

from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.in_graph.head_bytes import find_text, read_head, read_numbers

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
    head = read_head(data, len(_MARKER))
    is_marker = find_text(head, _MARKER)
    start = tf.argmax(is_marker, output_type=tf.int32) + len(_MARKER)
    is_little = read_numbers(head, start, 1, is_little=True) == ord("I")
    directory = start + read_numbers(head, start + 4, 4, is_little=is_little)
    n_entries = read_numbers(head, directory, 2, is_little=is_little)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(n_entries)
    tags, values = (read_numbers(head, entries + at, 2, is_little=is_little) for at in (0, 8))
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

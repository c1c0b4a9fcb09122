"""What stands in the first bytes of a file, in TensorFlow's operations."""

from typing import Any

from frieze.core import import_tensorflow

_HEAD_BYTES = 1 << 16  # a segment of a JPEG is no longer, and EXIF stands in the first or second one


def read_head(data: Any, n_more: int) -> Any:
    """Return a file's first bytes as numbers, int32 [n], and so many zeros more: what is read beyond the end."""
    tf = import_tensorflow()
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD_BYTES), tf.uint8)
    return tf.pad(tf.cast(head, tf.int32), [[0, n_more]])


def find_text(head: Any, text: bytes) -> Any:
    """Return int32 [n], 1 where the text begins."""
    tf = import_tensorflow()
    n = tf.size(head) - len(text) + 1
    found = [head[place : place + n] == letter for place, letter in enumerate(text)]
    return tf.cast(tf.reduce_all(found, axis=0), tf.int32)


def read_numbers(head: Any, at: Any, n_bytes: int, *, is_little: Any) -> Any:
    """Return the whole numbers of so many bytes at some places."""
    tf = import_tensorflow()
    places = at[..., None] + tf.range(n_bytes)
    found = tf.gather(head, tf.clip_by_value(places, 0, tf.size(head) - 1))  # [..., n_bytes]
    ordered = tf.where(is_little, found, tf.reverse(found, [-1]))
    return tf.reduce_sum(ordered * [256**place for place in range(n_bytes)], axis=-1)

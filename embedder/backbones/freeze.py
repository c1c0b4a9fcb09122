"""A backbone as one graph without variables: what every engine runs."""

from collections.abc import Callable
from typing import Any

from frieze.core import import_tensorflow


def freeze(call: Callable[[Any], Any], image_size: tuple[int, int]) -> Any:
    """Turn a backbone's callable into a TensorFlow function without variables.

    Constants in place of variables let an engine fold batch norm into convolutions.

    Args:
        call: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D].
        image_size: H and W in pixels.

    Returns:
        uint8 [B, H, W, 3] -> float32 [B, D].
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def embed(pixels: Any) -> Any:
        return call(tf.cast(pixels, tf.float32) / 255.0)

    pixels = tf.TensorSpec([None, *image_size, 3], tf.uint8)
    return convert_variables_to_constants_v2(tf.function(embed, autograph=False).get_concrete_function(pixels))

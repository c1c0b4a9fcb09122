"""A first look at a network: whether it takes images, how wide its vectors are, and whether each has its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.core import Floats, ModelError, import_tensorflow

_RANK, _COLOURS = 4, 3
_ROUNDING = 0.05  # of the vector's length: numbers of 8 bits (bfloat16) are rounded otherwise in another batch


def check_takes_images(shape: Any, *, name: str) -> None:
    """Refuse a network whose input is no batch of images of three colours.

    Args:
        shape: Of its input, the batch in front; None where any will do.
        name: Of the network, for the message.

    Raises:
        ModelError: The input has another rank, or one, two, four or more channels.
    """
    sides = tuple(shape)
    if len(sides) != _RANK or sides[-1] not in (None, _COLOURS):
        raise ModelError(
            f"{name} takes inputs of the shape {sides[1:]}; images are [H, W, 3].",
            hint="Save a model that takes three colours and makes of them what this one takes; grey for example with"
            " keras.layers.Conv2D(1, 1, use_bias=False) in front, its weights 0.299, 0.587 and 0.114.",
        )


def try_out(call: Callable[[Any], Any], size: tuple[int, int], *, name: str, is_known: bool) -> int:
    """Embed an image alone, and once more between two others.

    Args:
        call: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D].
        size: H and W in pixels.
        name: Of the network, for the message.
        is_known: Whether it is one of those that are known to see each image by itself: then the first run is enough.

    Returns:
        D.

    Raises:
        ModelError: The two vectors differ: what an image is told by would depend on what it is embedded with.
        ValueError: The network takes no such images; TypeError and errors of TensorFlow likewise.
    """
    tf = import_tensorflow()
    noise = np.random.default_rng(0).random((1, *size, 3), np.float32)
    alone = np.asarray(call(tf.constant(noise)))
    if is_known:
        return int(alone.shape[-1])
    between = np.asarray(call(tf.constant(np.concatenate([np.ones_like(noise), noise, noise * 0.2]))))
    if between.shape != (3, *alone.shape[1:]) or _is_far(alone[0], between[1]):
        raise ModelError(
            f"{name} gives an image another vector when others are embedded with it, as where it normalises over the"
            " batch.",
            hint="Export the model as it is used for a single image, such as with training=False.",
        )
    return int(alone.shape[-1])


def _is_far(one: Floats, other: Floats) -> bool:
    lengths = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)))
    return float(np.linalg.norm(one - other)) > _ROUNDING * lengths

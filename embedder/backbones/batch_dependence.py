"""Checks a network on first use: it takes images, and an image's embedding depends on this image and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.core import Floats, ModelError

_RANK, _COLOURS = 4, 3
_ROUNDING = 0.05  # of the vector's length: bfloat16 rounds differently in another batch
_SAME = 1e-6  # of the largest number: what rounding may change
_BY_BATCH = "an image differently with other images in its batch, as if it normalizes over the batch"


def check_image_input(shape: Any, *, name: str) -> None:
    """Reject a network whose input is no batch of RGB images.

    Args:
        shape: Shape of its input, batch first; None for any size.
        name: Name of the network, for the message.

    Raises:
        ModelError: The input has another rank or number of channels.
    """
    sides = tuple(shape)
    if len(sides) != _RANK or sides[-1] not in (None, _COLOURS):
        raise ModelError(
            f"{name} takes inputs of the shape {sides[1:]}; images are [H, W, 3].",
            hint="Save a model that converts three colours to the input of this one; grey for example with"
            " keras.layers.Conv2D(1, 1, use_bias=False) in front, its weights 0.299, 0.587 and 0.114.",
        )


def probe_network(call: Callable[[Any], Any], size: tuple[int, int], *, name: str, is_known: bool) -> int:
    """Embed an image alone and between two others, and return the width of its embedding.

    Args:
        call: float32 [B, H, W, 3] in [0, 1], an array of NumPy, -> float32 [B, D].
        size: H and W in pixels.
        name: Name of the network, for the message.
        is_known: Whether it is known to be independent of the batch, so that the first run is enough.

    Returns:
        D.

    Raises:
        ModelError: The two embeddings differ: they depend on the rest of the batch, or on chance; or those of several
            images are equal: they depend on nothing.
        ValueError: The network takes no such images; TypeError and errors of TensorFlow likewise.
    """
    noise = np.random.default_rng(0).random((1, *size, 3), np.float32)
    alone = np.asarray(call(noise))
    if is_known:
        return int(alone.shape[-1])
    between = np.asarray(call(np.concatenate([np.ones_like(noise), noise, noise * 0.2])))
    if between.shape != (3, *alone.shape[1:]) or _is_far(alone[0], between[1]):
        repeated = np.asarray(call(noise))
        how = "the same image differently each time" if _is_far(alone[0], repeated[0]) else _BY_BATCH
        raise ModelError(
            f"{name} embeds {how}.", hint="Export the model in inference mode, such as with training=False."
        )
    largest = np.abs(between).max()  # vectors of zeros are counted by whoever searches them
    if np.isfinite(largest) and largest > 0 and np.ptp(between, axis=0).max() <= _SAME * largest:
        raise ModelError(
            f"{name} returns the same vector for different images: its output does not depend on them, or its"
            " weights are damaged.",
            hint="Choose another output with `layer='NAME'`, or export the network again.",
        )
    return int(alone.shape[-1])


def _is_far(one: Floats, other: Floats) -> bool:
    lengths = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)))
    return float(np.linalg.norm(one - other)) > _ROUNDING * lengths

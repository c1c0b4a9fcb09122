"""`builtin`: a fixed descriptor of edges and colours that needs no download and no training.

Oriented gradients on an 8 x 8 grid (after Dalal and Triggs, 2005) beside soft colour histograms on a 4 x 4 grid, both
square-rooted (Arandjelovic and Zisserman, 2012) and of equal weight.
"""

import hashlib
import math
from typing import Any

from embedder.backbones.request import BackboneRequest, Network
from features import ModelError, import_tensorflow

NAME = "frieze-descriptor-1"
"""The version stands in the name: whoever changes a number below changes it too."""

SIDE_PX = 128
DIM = 8 * 8 * 8 + 4 * 4 * 24
_ORIENTATIONS = 8
_BINS = 8
_EPSILON = 1e-8


def open_built_in(request: BackboneRequest) -> Network:
    """Give the descriptor.

    Raises:
        ModelError: A layer is asked for.
    """
    if request.layer is not None:
        raise ModelError(f"builtin has no layer {request.layer}.", mend="Leave --layer out.")
    return Network(
        name=NAME,
        handle="builtin",
        fingerprint=hashlib.sha256(NAME.encode()).hexdigest(),
        image_size=(SIDE_PX, SIDE_PX),
        pixels="0..1",
        call=_describe,
    )


def _describe(images: Any) -> Any:
    """Describe float32 [B, 128, 128, 3] in [0, 1] by float32 [B, 896]."""
    tf = import_tensorflow()
    red, green, blue = tf.unstack(images, axis=-1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue  # [B, H, W]
    colours = tf.stack([grey, 0.5 + 0.5 * (red - green), 0.5 + 0.25 * (red + green - 2 * blue)], axis=-1)
    return tf.concat([_edges(tf, grey), _colours(tf, colours)], axis=1)


def _edges(tf: Any, grey: Any) -> Any:
    padded = tf.pad(grey, [[0, 0], [1, 1], [1, 1]], mode="SYMMETRIC")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    angles = [2 * math.pi * step / _ORIENTATIONS for step in range(_ORIENTATIONS)]
    strengths = [tf.nn.relu(across * math.cos(angle) + down * math.sin(angle)) for angle in angles]
    cells = tf.nn.avg_pool2d(tf.stack(strengths, axis=-1), 16, 16, "VALID")  # [B, 8, 8, 8]
    energy = tf.nn.avg_pool2d(tf.reduce_sum(cells**2, axis=-1, keepdims=True), 3, 1, "SAME")
    return _unit(tf, cells / tf.sqrt(energy + 1e-4))  # each cell against its neighbours: light does not count


def _colours(tf: Any, colours: Any) -> Any:
    colours = tf.nn.avg_pool2d(colours, 4, 4, "VALID")  # [B, 32, 32, 3]: sixteen times fewer votes, as good
    centres = (tf.range(_BINS, dtype=tf.float32) + 0.5) / _BINS
    votes = tf.nn.relu(1 - _BINS * tf.abs(colours[..., None] - centres))  # [B, 32, 32, 3, 8]
    flat = tf.reshape(votes, [-1, SIDE_PX // 4, SIDE_PX // 4, 3 * _BINS])
    return _unit(tf, tf.nn.avg_pool2d(flat, 8, 8, "VALID"))


def _unit(tf: Any, cells: Any) -> Any:
    rows = tf.sqrt(tf.reshape(cells, [-1, math.prod(cells.shape[1:])]) + _EPSILON)
    return tf.nn.l2_normalize(rows, axis=1)

"""Images stored as bare samples: uint8 of a stated shape, wrapped losslessly as the bytes of a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.embedder.sources.in_memory import encode

CHANNELS = (1, 2, 3, 4)
"""Grey and colour, each also with alpha."""
_NETPBM = {1: b"P5", 3: b"P6"}
_ENCODED = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF")
_HEIGHT = ("height", "image/height", "image_height", "rows")
_WIDTH = ("width", "image/width", "image_width", "cols")
_DEPTH = ("depth", "channels", "image/depth", "image/channels", "image_channels")
SIZE_NAMES = frozenset((*_HEIGHT, *_WIDTH, *_DEPTH))
"""Features that may state the shape of samples."""


def encode_samples(samples: npt.NDArray[np.uint8]) -> bytes:
    r"""Return one image as the bytes of a file: Netpbm, with alpha TIFF.

    Args:
        samples: uint8 [H, W, C].

    >>> encode_samples(np.zeros((1, 2, 3), np.uint8))
    b'P6 2 1 255\n\x00\x00\x00\x00\x00\x00'
    """
    height, width, channels = samples.shape
    if channels not in _NETPBM:
        return encode(samples, samples.nbytes + (1 << 20))
    return b"%s %d %d 255\n" % (_NETPBM[channels], width, height) + samples.tobytes()


def stated_shape(features: Mapping[str, Any], data: bytes) -> tuple[int, int, int] | None:
    """Return height, width and channels of bare samples, where other features of the record state them.

    Args:
        features: Name -> values of a record.
        data: The bytes that may be samples.

    Returns:
        The shape, if it is that of as many bytes; None for an encoded image or anything else.

    >>> stated_shape({"height": [2], "width": [3], "depth": [1]}, bytes(6)), stated_shape({"height": [2]}, bytes(6))
    ((2, 3, 1), None)
    """
    if data.startswith(_ENCODED):
        return None
    height = _number(features, _HEIGHT)
    width = _number(features, _WIDTH) if height else None
    if not height or not width:
        return None
    channels = _number(features, _DEPTH) or len(data) // (height * width)
    is_whole = channels in CHANNELS and height * width * channels == len(data)
    return (height, width, channels) if is_whole else None


def _number(features: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the only value of the first of some features that is there; None for none, or no positive integer."""
    for name in names:  # a loop: a generator takes three times as long, and a million records ask twice
        if name in features:
            values = features[name]
            is_one = len(values) == 1 and isinstance(values[0], int | np.integer) and values[0] > 0
            return int(values[0]) if is_one else None
    return None

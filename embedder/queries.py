"""Single images, embedded on the spot."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from embedder.backbones import Backbone
from embedder.choosing import default_engine
from embedder.decoding import MAX_BYTES
from embedder.pipeline import Narrow, decode_and_fit
from embedder.sources import encode
from features import Floats, ImageError, InputError


def embed_images(
    images: Sequence[Any],
    backbone: Backbone,
    *,
    names: Sequence[str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Floats:
    """Embed a few images.

    Args:
        images: One or more: paths of image files, their bytes, PIL images or uint8 arrays [H, W, 3].
        backbone: From `open_backbone`.
        names: What to call each in messages; as it is written by default, which suits paths.
        warn: Told of images of more than 8 bits a channel that are nearly black, or one grey, to the network.

    Returns:
        float32 [n, D].

    Raises:
        InputError: One can't be used; the message names it.
    """
    pixels, narrow = [], Narrow()
    for name, image in zip(names or map(str, images), images, strict=True):
        try:
            one, _, n_levels = decode_and_fit(encode(image, MAX_BYTES), backbone.spec)
            pixels.append(one)
            narrow.add(n_levels)
        except ImageError as error:
            raise InputError(
                f"{name} can't be used ({error.stage}, {error.reason}): {error.message}.",
                mend="Give a JPEG, PNG, GIF, BMP, WebP, AVIF or TIFF file.",
            ) from error
    if narrow.n_images:
        warn(f"{narrow}.")
    return default_engine(backbone).infer(np.stack(pixels))

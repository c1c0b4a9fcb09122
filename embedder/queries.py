"""Single images, embedded on the spot."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embedder.backbones import Backbone
from embedder.choosing import default_engine
from embedder.decoding import MAX_BYTES
from embedder.pipeline import Narrow, decode_and_fit
from embedder.sources import read_place
from features import Floats, ImageError, InputError


def embed_images(
    paths: Sequence[str | Path], backbone: Backbone, *, warn: Callable[[str], None] = lambda _: None
) -> Floats:
    """Embed a few image files.

    Args:
        paths: Image files, one or more.
        backbone: From `open_backbone`.
        warn: Told of images of more than 8 bits a channel that are nearly black, or one grey, to the network.

    Returns:
        float32 [n, D].

    Raises:
        InputError: One can't be used; the message names it.
    """
    pixels, narrow = [], Narrow()
    for path in paths:
        try:
            one, _, n_levels = decode_and_fit(read_place(str(path), max_bytes=MAX_BYTES), backbone.spec)
            pixels.append(one)
            narrow.add(n_levels)
        except ImageError as error:
            raise InputError(
                f"{path} can't be used ({error.stage}, {error.reason}): {error.message}.",
                mend="Give a JPEG, PNG, GIF, BMP, WebP, AVIF or TIFF file.",
            ) from error
    if narrow.n_images:
        warn(f"{narrow}.")
    return default_engine(backbone).infer(np.stack(pixels))

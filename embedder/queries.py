"""Single images, embedded on the spot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedder.backbones import Backbone
from embedder.choosing import default_engine
from embedder.decoding import MAX_BYTES
from embedder.pipeline import decode_for
from embedder.sources import read_place
from features import Floats, ImageError, InputError


def embed_images(paths: Sequence[str | Path], backbone: Backbone) -> Floats:
    """Embed a few image files.

    Args:
        paths: Image files, one or more.
        backbone: From `open_backbone`.

    Returns:
        float32 [n, D].

    Raises:
        InputError: One can't be used; the message names it.
    """
    pixels = []
    for path in paths:
        try:
            pixels.append(decode_for(read_place(str(path), max_bytes=MAX_BYTES), backbone.spec)[0])
        except ImageError as error:
            raise InputError(
                f"{path} can't be used ({error.stage}, {error.reason}): {error.message}.",
                mend="Give a JPEG, PNG, GIF, BMP, WebP or TIFF file.",
            ) from error
    return default_engine(backbone).infer(np.stack(pixels))

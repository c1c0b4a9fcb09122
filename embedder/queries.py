"""Single images, embedded on the spot."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from embedder.backbones import Backbone
from embedder.choosing import default_engine
from embedder.decoding import MAX_BYTES
from embedder.decoding_tally import DecodingTally, describe_tally
from embedder.pipeline import decode_and_fit
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
        warn: Told in a sentence each of what makes the vectors say less than one may think (`describe_tally`).

    Returns:
        float32 [n, D].

    Raises:
        InputError: One can't be used; the message names it.
    """
    pixels, tally = [], DecodingTally()
    for name, image in zip(names or map(str, images), images, strict=True):
        try:
            one, _, traits = decode_and_fit(encode(image, MAX_BYTES), backbone.spec)
            pixels.append(one)
            tally.add(traits)
        except ImageError as error:
            raise InputError(
                f"{name} can't be used ({error.stage}, {error.reason}): {error.message}.",
                mend="Give a JPEG, PNG, GIF, BMP, WebP, AVIF or TIFF file.",
            ) from error
    for line in describe_tally(tally.to_json()):
        warn(line)
    return default_engine(backbone).infer(np.stack(pixels))

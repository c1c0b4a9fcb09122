"""Embed a few single images: queries of a search, inputs of `frieze predict`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from frieze.core import Floats, ImageError, InputError, Rows, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.images.decode import MAX_BYTES, MAX_PIXELS
from frieze.embedder.images.decoding_tally import DecodingTally, describe_tally
from frieze.embedder.images.prepare import decode_for, prepare
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.select_engine import default_engine
from frieze.embedder.sources import encode
from frieze.embedder.sources.open import read_image
from frieze.features import BackboneSpec


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
        names: Their names in messages; by default `str(image)`, which suits paths.
        warn: Called with a sentence for each trait that makes the embeddings less reliable (`describe_tally`).

    Returns:
        float32 [n, D].

    Raises:
        InputError: An image is unusable; the message names it.
    """
    pixels, tally = [], DecodingTally()
    for name, image in zip(names or map(str, images), images, strict=True):
        try:
            resized, _, traits = prepare(encode(image, MAX_BYTES), backbone.spec)
            pixels.append(resized)
            tally.add(traits)
        except ImageError as error:
            raise InputError(
                f"{name} can't be used ({error.stage}, {error.reason}): {error.message}.",
                hint="Give an image file: JPEG, PNG, WebP, TIFF, HEIC or another format of docs/howto.md.",
            ) from error
    for line in describe_tally(tally.to_json()):
        warn(line)
    return default_engine(backbone).infer(np.stack(pixels))


def image_reader(uris: Sequence[str], spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS) -> Callable[[Rows], Pixels]:
    """Return a function that decodes images for a backbone, with a thread per core.

    Args:
        uris: URI of each image, as stored in a table.
        spec: Image size and fit.
        max_pixels: Largest width times height accepted.

    Returns:
        A function: rows int64 [n] -> uint8 [n, H, W, 3]. It raises InputError for a missing or broken image.
    """
    pool = ThreadPoolExecutor(count_cores(), thread_name_prefix="frieze-images")

    def decode(row: int) -> Pixels:
        uri = str(uris[row])
        try:
            return decode_for(read_image(uri), spec, max_pixels=max_pixels)[0]
        except ImageError as error:
            raise InputError(
                f"{uri} can't be read any more ({error.stage}, {error.reason}): {error.message}.",
                hint="Put it back, or update the table with frieze embed, and run again.",
            ) from error

    return lambda rows: np.stack(list(pool.map(decode, rows.tolist())))

"""Embed a few single images: queries of a search, inputs of `frieze predict`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frieze.core import Floats, ImageError, InputError, Rows, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.images.decoding_tally import DecodingTally, describe_tally
from frieze.embedder.images.limits import MAX_BYTES, MAX_PIXELS
from frieze.embedder.images.prepare import Prepared, decode_for, prepare
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.select_engine import default_engine
from frieze.embedder.sources import encode
from frieze.embedder.sources.files import to_uri
from frieze.embedder.sources.open import read_image
from frieze.features import BackboneSpec, Hashes, hash_images

_BATCH = 64


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
        resized, traits = _prepare(name, image, backbone.spec)
        pixels.append(resized)
        tally.add(traits)
    for line in describe_tally(tally.to_json()):
        warn(line)
    return default_engine(backbone).infer(np.stack(pixels))


class DescribedImages(NamedTuple):
    """Single images with what a table stores of them; row by row, but for those that failed.

    Attributes:
        numbers: int64 [n], which of the images.
        embeddings: float32 [n, D].
        hashes: uint64 [n, 2], perceptual hashes of the whole and of what lies inside its borders; 0 for none.
        n_pixels: int64 [n], width times height.
        failures: Of the others, by number, why they can't be used.
    """

    numbers: Rows
    embeddings: Floats
    hashes: Hashes
    n_pixels: Rows
    failures: dict[int, ImageError]


def describe_images(paths: Sequence[str | Path], backbone: Backbone) -> DescribedImages:
    """Embed and hash image files of any number, decoded with a thread per core.

    Args:
        paths: Image files; `FILE#x,y,w,h` for a part of one.
        backbone: From `open_backbone`.
    """
    engine, spec = default_engine(backbone), backbone.spec
    failures: dict[int, ImageError] = {}
    embeddings, hashes = [np.empty((0, spec.dim), np.float32)], [np.empty((0, 2), np.uint64)]
    usable: list[tuple[int, int]] = []

    def decode(number: int) -> Prepared | ImageError:
        try:
            return prepare(encode(paths[number], MAX_BYTES), spec)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(count_cores(), thread_name_prefix="frieze-images") as pool:
        for start in range(0, len(paths), _BATCH):
            numbers = range(start, min(start + _BATCH, len(paths)))
            decoded = list(zip(numbers, pool.map(decode, numbers), strict=True))
            failures |= {number: one for number, one in decoded if isinstance(one, ImageError)}
            images = [(number, one) for number, one in decoded if not isinstance(one, ImageError)]
            if images:
                pixels = np.stack([one.pixels for _, one in images])
                embeddings.append(engine.infer(pixels))
                hashes.append(np.stack(hash_images(pixels), axis=1))
                usable += [(number, one.size[0] * one.size[1]) for number, one in images]
    rows = np.array(usable, np.int64).reshape(-1, 2)
    return DescribedImages(rows[:, 0], np.concatenate(embeddings), np.concatenate(hashes), rows[:, 1], failures)


def read_file(path: str | Path) -> tuple[str, bytes]:
    """Read an image file, or the part of one that `FILE#x,y,w,h` names.

    Returns:
        Its URI as a table stores it, and its bytes.

    Raises:
        ImageError: It can't be read, or is no image by its signature.
    """
    return to_uri(str(Path(path).absolute())), encode(path, MAX_BYTES)


def embed_in_batches(images: Sequence[Any], backbone: Backbone) -> Floats:
    """Embed images of any number, decoded with a thread per core.

    Args:
        images: As `embed_images` takes them; in messages one in memory is `image N`, from 0.
        backbone: From `open_backbone`.

    Returns:
        float32 [n, D].

    Raises:
        InputError: An image is unusable; the message names it.
    """
    engine, blocks = default_engine(backbone), [np.empty((0, backbone.spec.dim), np.float32)]

    def decode(number: int) -> Pixels:
        image = images[number]
        name = str(image) if isinstance(image, str | Path) else f"image {number}"
        return _prepare(name, image, backbone.spec)[0]

    with ThreadPoolExecutor(count_cores(), thread_name_prefix="frieze-images") as pool:
        for start in range(0, len(images), _BATCH):
            pixels = list(pool.map(decode, range(start, min(start + _BATCH, len(images)))))
            blocks.append(engine.infer(np.stack(pixels)))
    return np.concatenate(blocks)


def _prepare(name: str, image: Any, spec: BackboneSpec) -> tuple[Pixels, Any]:
    """Decode and resize one image; return its pixels and what `DecodingTally` counts."""
    try:
        pixels, _, traits = prepare(encode(image, MAX_BYTES), spec)
    except ImageError as error:
        raise InputError(
            f"{name} can't be used ({error.stage}, {error.reason}): {error.message}.",
            hint="Give an image file: JPEG, PNG, WebP, TIFF, HEIC or another format of docs/howto.md.",
        ) from error
    return pixels, traits


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

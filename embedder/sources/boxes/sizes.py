"""Sizes of a source's images as displayed, from the headers of their files."""

import os
from collections.abc import Iterator

import numpy as np

from frieze.core import ImageError, Rows, is_remote
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.upright_size import Size, read_jpeg_size, read_upright_size
from frieze.embedder.sources.base import Source
from frieze.embedder.sources.files import open_uri

_HEAD_BYTES = 1 << 17
"""First bytes of a JPEG on disk, which nearly always hold its header."""


def read_sizes(source: Source, rows: Rows, *, max_pixels: int = MAX_PIXELS) -> dict[int, Size | ImageError]:
    """Read the sizes of some images: of JPEGs on disk their first bytes, of others the whole file.

    Args:
        source: The images.
        rows: int64 [n], the listing's, ascending.
        max_pixels: Largest width times height of an image that has to be decoded for it.

    Returns:
        For each row width and height of the upright image in pixels, or why they can't be read.
    """
    uris = source.listing.images["uri"].take(rows).to_pylist()
    heads = {row: _read_head(uri) for row, uri in zip(rows.tolist(), uris, strict=True)}
    sizes: dict[int, Size | ImageError] = {row: size for row, size in heads.items() if size is not None}
    others = np.array([row for row, size in heads.items() if size is None], np.int64)
    sizes.update(zip(others.tolist(), _read_whole(source, others, max_pixels), strict=True))
    return sizes


def _read_head(uri: str) -> Size | None:
    """Return the size of a JPEG on disk; None for any other image."""
    if is_remote(uri) or not os.path.isabs(uri.removeprefix("file://")):
        return None
    try:
        with open_uri(uri) as file:
            return read_jpeg_size(file.read(_HEAD_BYTES))
    except (OSError, ValueError):
        return None


def _read_whole(source: Source, rows: Rows, max_pixels: int) -> Iterator[Size | ImageError]:
    for content in source.read(rows) if len(rows) else ():
        try:
            yield content if isinstance(content, ImageError) else read_upright_size(content, max_pixels=max_pixels)
        except ImageError as error:
            yield error

"""The pictures of an exported table: files of their own, or bytes of those in archives, tables and buckets."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from frieze.core import InputError, count_cores, counted
from frieze.reports.thumbnails import draw

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Type of a column of images, as Hugging Face's libraries have it: the bytes, or the path of a file."""

_WEB = ("http://", "https://")


def picture_path(uri: str) -> str | None:
    """Return the path of an image that is a file of its own, or its URL; None for what is inside of something else."""
    from frieze.embedder import to_path

    if uri.startswith(_WEB):
        return uri
    path = os.fsdecode(to_path(uri))
    return path if os.path.isabs(path) and os.path.isfile(path) else None  # noqa: PTH113, PTH117  a million texts


def read_picture(uri: str) -> bytes | None:
    """Read an image, also from inside of an archive, a table or a bucket; None where it can't be read any more."""
    from frieze.embedder import read_image

    try:
        data = read_image(uri)
    except InputError:
        return None
    return _to_png(data) if data.startswith(b"P6") else data  # pixels of a part of an image


def _to_png(data: bytes) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "PNG")
    return file.getvalue()


def image_column(uris: Sequence[str]) -> Any:
    """Return a column of images of type `IMAGE`: paths of files, else bytes; null where an image can't be read."""
    return pa.array([_image(uri) for uri in uris], IMAGE)


def _image(uri: str) -> dict[str, Any] | None:
    path = picture_path(uri)
    if path is not None:
        return {"bytes": None, "path": path}
    data = read_picture(uri)
    return None if data is None else {"bytes": data, "path": None}


def thumbnail_column(uris: Sequence[str | None], side_px: int, *, decoding: str) -> Any:
    """Return a column of small JPEGs of type `IMAGE`; null for a null, a URL, and where an image can't be read.

    Args:
        uris: URIs.
        side_px: The longer side.
        decoding: As of `draw`.
    """

    def draw_one(uri: str | None) -> bytes | None:
        if uri is None or uri.startswith(_WEB):
            return None
        try:
            return draw(uri, side_px, decoding=decoding)
        except InputError:
            return None

    with ThreadPoolExecutor(count_cores(), thread_name_prefix="frieze-thumbnails") as pool:
        images = pool.map(draw_one, uris)
        return pa.array([None if data is None else {"bytes": data, "path": None} for data in images], IMAGE)


def note_on_missing(n_missing: int) -> list[str]:
    """Return the note that images could not be read; none where there are none."""
    note = f"{counted(n_missing, 'image')} can't be read where the table says, and are exported without a picture."
    return [note] if n_missing else []

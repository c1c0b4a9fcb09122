"""Thumbnails of stored images, for pages."""

import base64
import io

from frieze.core import ImageError

PICTURE_PX = 1280
"""The longer side of a picture in full view."""

_QUALITY = 80


def draw(uri: str, side_px: int) -> bytes:
    """Return an image, upright, as a JPEG whose longer side has at most `side_px` pixels.

    Raises:
        ImageError: It is missing or broken.
    """
    import frieze.embedder

    try:
        image, _ = frieze.embedder.decode(frieze.embedder.read_image(uri), side_px=side_px)
    except OSError as error:
        raise ImageError("read", "unreadable", str(error)) from error
    image.thumbnail((side_px, side_px))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def draw_url(uri: str, side_px: int) -> str:
    """Return an image as a data URL, for a page that holds its own pictures.

    Raises:
        ImageError: It is missing or broken.
    """
    return f"data:image/jpeg;base64,{base64.b64encode(draw(uri, side_px)).decode()}"

"""Thumbnails of stored images, for pages."""

import base64
import hashlib
import io

from frieze.core import ImageError

PICTURE_PX = 1280
"""The longer side of a picture in full view."""

_QUALITY = 80
_SHA256_LENGTH = 64  # in hexadecimal digits


def draw(uri: str, side_px: int, *, sha256: str = "") -> bytes:
    """Return an image, upright, as a JPEG whose longer side has at most `side_px` pixels.

    Args:
        uri: The image's URI.
        side_px: The longer side.
        sha256: Of its bytes when it was embedded; a text of another length is not compared.

    Raises:
        ImageError: It is missing or broken, or has changed.
    """
    import frieze.embedder

    try:
        data = frieze.embedder.read_image(uri)
        if len(sha256) == _SHA256_LENGTH and hashlib.sha256(data).hexdigest() != sha256:
            raise ImageError("read", "changed", "the file has changed since it was embedded")
        image, _ = frieze.embedder.decode(data, side_px=side_px)
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

"""Images in full: the file itself where a browser shows it as the table has it, else a JPEG of all its pixels."""

from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from frieze.core import ImageError
from frieze.reports.thumbnails import draw

LARGEST_PX = 8192
"""The longer side of what is drawn: browsers show no larger ones."""
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG that holds a second view
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # of others browsers show other colours
_PNG_DEPTH_AT, _MOST_BITS = 24, 8  # of 16 bits the table may show another range


class Original(NamedTuple):
    """An image file.

    Attributes:
        data: Its bytes.
        media_type: Such as `image/jpeg`.
    """

    data: bytes
    media_type: str


def read_original(uri: str, *, decoding: str) -> Original:
    """Return an image with all its pixels, or those of a part.

    Args:
        uri: The image's URI.
        decoding: Of its table: which bands are shown, and which samples are black and white.

    Raises:
        ImageError: It is missing or broken.
    """
    import frieze.embedder

    try:
        data = frieze.embedder.read_image(uri, options=frieze.embedder.in_full(decoding))
    except OSError as error:
        raise ImageError("read", "unreadable", str(error)) from error
    media_type = _media_type(data)
    if media_type is None:
        return Original(draw(uri, LARGEST_PX, decoding=decoding), "image/jpeg")
    return Original(data, media_type)


def _media_type(data: bytes) -> str | None:
    """Return the media type of a file that browsers show as it is decoded for a table; None for others."""
    import frieze.embedder

    try:
        with frieze.embedder.open_image(data) as image:
            media_type, mode = _MEDIA_TYPES.get(str(image.format)), image.mode
    except (UnidentifiedImageError, ImageError, OSError, ValueError, Image.DecompressionBombError):
        return None  # `draw` says what is broken
    is_deep = media_type == "image/png" and data[_PNG_DEPTH_AT] > _MOST_BITS
    is_shown = mode in _MODES and not is_deep and not frieze.embedder.has_several(data)
    return media_type if is_shown else None

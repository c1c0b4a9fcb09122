"""Thumbnails of stored images, for pages."""

import base64
import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from frieze.core import ImageError

if TYPE_CHECKING:
    from PIL import Image

PICTURE_PX = 1280
"""The longer side of a picture in full view."""

_QUALITY = 80
_LINE_SHARE = 1 / 320  # of the longer side
_SHA256_LENGTH = 64  # in hexadecimal digits


def draw(uri: str, side_px: int, *, sha256: str = "", decoding: str = "") -> bytes:
    """Return an image, upright, as a JPEG whose longer side has at most `side_px` pixels.

    A file that is such a JPEG, has no metadata and has not changed is returned as it is: it is its own thumbnail.

    Args:
        uri: The image's URI.
        side_px: The longer side.
        sha256: Of its bytes when it was embedded; a text of another length is not compared.
        decoding: Of its table: which bands are shown, and which samples are black and white. Empty for the usual.

    Raises:
        ImageError: It is missing or broken, or has changed.
    """
    import frieze.embedder

    known, options = sha256 if len(sha256) == _SHA256_LENGTH else "", frieze.embedder.in_full(decoding)
    has_choices = "+" in decoding  # of bands, or of a range
    try:
        data = frieze.embedder.read_image(uri, options=options, sha256=known)
        if known and hashlib.sha256(data).hexdigest() != known:
            raise ImageError("read", "changed", "the file has changed since it was embedded")
        if known and not has_choices and frieze.embedder.is_small_jpeg(data, side_px):
            return data
        image, _ = frieze.embedder.decode(data, side_px=side_px, decoding=options.decoding)
    except OSError as error:
        raise ImageError("read", "unreadable", str(error)) from error
    image.thumbnail((side_px, side_px))
    return _to_jpeg(image)


def draw_whole(uri: str, side_px: int, *, decoding: str = "") -> bytes:
    """Return the image that a part belongs to, with the part outlined, as `draw` does; of a whole image the image.

    Raises:
        ImageError: It is missing or broken.
    """
    import frieze.embedder

    part = frieze.embedder.split_part(uri)
    if part is None:
        return draw(uri, side_px, decoding=decoding)
    (whole, box), shown = part, frieze.embedder.in_full(decoding).decoding
    try:
        data = frieze.embedder.read_image(whole)
        image, (width, _) = frieze.embedder.decode(data, side_px=side_px, decoding=shown)
    except OSError as error:
        raise ImageError("read", "unreadable", str(error)) from error
    image.thumbnail((side_px, side_px))
    _outline(image, [edge * image.width / width for edge in box])
    return _to_jpeg(image)


def _outline(image: "Image.Image", box: list[float]) -> None:
    """Draw a box in two colours, of which one is seen on any picture."""
    from PIL import ImageDraw

    left, top, width, height = box
    line_px = max(1, round(max(image.size) * _LINE_SHARE))
    pen = ImageDraw.Draw(image)
    for inset, colour in ((0, "black"), (line_px, "yellow")):
        corners = left + inset, top + inset, left + width - 1 - inset, top + height - 1 - inset
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            pen.rectangle(corners, outline=colour, width=line_px)


def _to_jpeg(image: "Image.Image") -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def draw_url(uri: str, side_px: int, *, decoding: str = "", draws: Callable[..., bytes] = draw) -> str:
    """Return an image as a data URL, for a page that holds its own pictures.

    Args:
        uri: The image's URI.
        side_px: The longer side.
        decoding: As of `draw`.
        draws: `draw` or `draw_whole`.

    Raises:
        ImageError: It is missing or broken.
    """
    return f"data:image/jpeg;base64,{base64.b64encode(draws(uri, side_px, decoding=decoding)).decode()}"

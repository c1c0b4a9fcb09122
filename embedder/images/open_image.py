"""Opens an image file with Pillow or the package of its format; what has to be known before its pixels are decoded."""

import io
import logging
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from frieze.core import ImageError
from frieze.embedder.images import tiff_pages
from frieze.embedder.images.decode_memory import PROGRESSIVE_BYTES
from frieze.embedder.images.signatures import can_read_avif, is_avif, is_heic, is_tga, open_heic, unsupported_error

_PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here so that each is registered before the first image is opened."""
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else what it logs of broken files goes to stderr
Image.preinit()  # in threads, Ctrl-C in the midst of its imports would leave a lock held

_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "PSD", "TIFF", "WEBP")
_TGA = ("TGA",)  # it has no signature: not tried for others
_SINGLE = ("MPO", "PSD")
"""Formats whose further pictures do not count: previews in a JPEG, layers below what all of them show."""
PEAK_BYTES = {"WEBP": 17, "AVIF": 12, "HEIF": 12, "GIF": 12, "JPEG2000": 20, "JXL": 16, "RAW": 16}
_PEAK_BYTES_DEFAULT = 8  # two layers of RGB, which Pillow keeps in 4 bytes
"""Peak memory of decoding, in bytes a pixel (measured at 36 megapixels)."""


def open_image(data: bytes) -> Image.Image:
    """Open an image file; its pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: It is of none of the formats that are read.
        ImageError: The extra that reads its format is not installed.
    """
    if is_heic(data):
        return open_heic(data)
    return Image.open(io.BytesIO(data), formats=_TGA if is_tga(data) else _FORMATS)


def unidentified_error(data: bytes) -> ImageError:
    """Return the failure of a file that Pillow can't identify."""
    page = tiff_pages.read_first_page(data) if data.startswith(tiff_pages.SIGNATURES) else None
    if is_avif(data) and can_read_avif():
        return ImageError("decode", "damaged", "the AVIF is damaged, or ends too early")
    if page is None or not page.tags:
        return unsupported_error(data)
    bits, names = page.tags.get(tiff_pages.BITS, (1,)), (tiff_pages.PHOTOMETRIC, tiff_pages.COMPRESSION)
    photometric, compression = (page.first(tag) for tag in names)
    layout = f"{' + '.join(map(str, bits))} bits a pixel, photometric {photometric}, compression {compression}"
    return ImageError("decode", "unsupported", f"a TIFF with {layout} is not read; convert it to PNG")


def has_several(data: bytes) -> bool:
    """Return whether an image file is an animation or has several pages; False for one that can't be opened."""
    try:
        with open_image(data) as image:
            return is_first_of_several(image, data)
    except Exception:  # noqa: BLE001  `decode` says what is broken
        return False


def is_first_of_several(image: Image.Image, data: bytes) -> bool:
    """Return whether a file is an animation or has several pages; see `_SINGLE`."""
    if data.startswith(tiff_pages.SIGNATURES):
        return tiff_pages.has_several(data)
    if image.format != "GIF":
        return bool(getattr(image, "is_animated", False)) and image.format not in _SINGLE
    try:
        with open_image(data) as other:  # looking for a second picture seeks
            return bool(getattr(other, "is_animated", False))
    except Exception:  # noqa: BLE001  what comes after the first picture is broken
        return False


def tile_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of a TIFF's tile: whole tiles are decoded, and may be larger than the image."""
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return int(tags.get(TiffImagePlugin.TILEWIDTH, 0)), int(tags.get(TiffImagePlugin.TILELENGTH, 0))


def count_bytes(image: Image.Image, size: tuple[int, int]) -> int:
    """Estimate the peak memory of decoding."""
    n_bytes = image.width * image.height * PEAK_BYTES.get(str(image.format), _PEAK_BYTES_DEFAULT)
    return n_bytes + size[0] * size[1] * PROGRESSIVE_BYTES * bool(image.info.get("progressive"))

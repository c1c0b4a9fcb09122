"""Fixes for formats that Pillow interprets differently from the file's specification."""

import struct

from PIL import Image, TiffImagePlugin

from frieze.embedder.images import png_chunks

_WHITE = 255
_SCALED_BITS = (2, 4)  # grey that Pillow scales to 8 bits, but not its transparent value


def fix_colours(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded image with the colours that its file specifies.

    Args:
        image: The image as loaded by Pillow; it may be modified.
        data: The file.
    """
    match image.format, image.mode:
        case "BMP", "RGBA":
            return _without_empty_alpha(image)
        case "PNG", "L":
            _scale_transparent_grey(image, data)
        case "TIFF", "P":
            _widen_palette(image)
    return image


def _without_empty_alpha(image: Image.Image) -> Image.Image:
    """Drop the alpha of a BMP that is 0 throughout: many programs declare alpha and leave it empty."""
    is_empty = image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if is_empty else image


def _scale_transparent_grey(image: Image.Image, data: bytes) -> None:
    bits, transparent = data[png_chunks.BIT_DEPTH_AT], png_chunks.read_body(data, b"tRNS")
    if bits not in _SCALED_BITS or len(transparent) < struct.calcsize(">H"):
        return
    (level,) = struct.unpack_from(">H", transparent)
    highest = (1 << bits) - 1
    image.info["transparency"] = (level & highest) * (_WHITE // highest)


def _widen_palette(image: Image.Image) -> None:
    """Read a TIFF's palette as 8 bits if no colour is above 255: some programs write 8 bits instead of 16.

    Source: libtiff, tif_getimage.c, `checkcmap`.
    """
    colours = image.tag_v2.get(TiffImagePlugin.COLORMAP, ()) if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    if colours and max(colours) <= _WHITE:
        image.putpalette(bytes(colours), "RGB;L")

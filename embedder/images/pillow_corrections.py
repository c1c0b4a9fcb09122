"""What Pillow takes otherwise than the file means it, put right before colours are looked at."""

import struct

from PIL import Image, TiffImagePlugin

from frieze.embedder.images import png_chunks

_WHITE = 255
_SCALED_BITS = (2, 4)  # a sample of grey that Pillow scales to 8 bits, without the one that is transparent


def correct(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded image as its file means it.

    Args:
        image: As Pillow loaded it; it may be changed.
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
    """Return a BMP without alpha that is 0 throughout: many programs tell of alpha and leave it empty."""
    is_empty = image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if is_empty else image


def _scale_transparent_grey(image: Image.Image, data: bytes) -> None:
    bits, told = data[png_chunks.BIT_DEPTH_AT], png_chunks.read_body(data, b"tRNS")
    if bits not in _SCALED_BITS or len(told) < struct.calcsize(">H"):
        return
    (level,) = struct.unpack_from(">H", told)
    highest = (1 << bits) - 1
    image.info["transparency"] = (level & highest) * (_WHITE // highest)


def _widen_palette(image: Image.Image) -> None:
    """Take the colours of a TIFF's palette for 8 bits where none is above 255: some programs write them so, not of 16.

    Source: libtiff, tif_getimage.c, `checkcmap`, which every program that is built on it follows.
    """
    colours = image.tag_v2.get(TiffImagePlugin.COLORMAP, ()) if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    if colours and max(colours) <= _WHITE:
        image.putpalette(bytes(colours), "RGB;L")

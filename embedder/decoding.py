"""Bytes of an image file -> an upright RGB image of 8 bits a channel."""

import contextlib
import dataclasses
import io
import struct
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from features import ImageError

VERSION = "pillow-draft-bilinear-1"
"""Stored with every embedding: what changes a pixel changes this word."""

MAX_PIXELS = 178_956_970
"""Largest image taken unless asked otherwise; the size at which Pillow itself cries decompression bomb."""

MAX_BYTES = 1 << 30
"""Largest file taken unless asked otherwise."""

_PLUGINS = (BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""Imported here so that each is registered before the first image is opened."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"MM*\x00", b"II\x00*")  # classic, big, and two that lie
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", *_TIFF)
LEAST_DRAFT_PX = 448  # small networks see the loss of a smaller draft: least cosine .997 instead of .999

HEAD_BYTES = 18
"""How many first bytes `is_image` wants."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright (CIPA DC-008, tag 274)."""
_LYING = (5, 6, 7, 8)
"""Orientations that swap width and height."""

_PILLOW = r"PIL\."
LIMITED = ("too large", "truncated")
"""Reasons of failures that other limits may mend."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it costs memory or gives a wrong vector.

    Attributes:
        max_pixels: Largest width times height, >= 1.
        max_bytes: Largest file, >= 1.
        accept_truncated: Take an image that ends too early as far as it goes; the rest is grey or black.
    """

    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES
    accept_truncated: bool = False

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Limits":
        """Take what `to_json` gave from among other things."""
        return cls(**{field.name: request[field.name] for field in dataclasses.fields(cls) if field.name in request})

    def to_json(self) -> dict[str, int | bool]:
        """Give those that are not the default."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Have Pillow accept truncated images, or not, while the block runs: it has one switch for the process.

        It warns of large images (our own limit is checked before any pixel is decoded) and of broken metadata (which
        does not make the pixels worse): thousands of such lines would only be noise.
        """
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES = self.accept_truncated
        Image.MAX_IMAGE_PIXELS = max(self.max_pixels, MAX_PIXELS)  # beyond twice this, Pillow refuses on its own
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=_PILLOW)
                yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def is_image(head: bytes) -> bool:
    """Tell from its first bytes whether a file is an image of a kind that we read.

    Args:
        head: The first `HEAD_BYTES` bytes.

    >>> is_image(b"GIF89a"), is_image(b"BMW prices went up"), is_image(b"")
    (True, False, False)
    """
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):  # two letters are too few: the size of the next header must fit as well
        return len(head) >= HEAD_BYTES and struct.unpack("<I", head[14:18])[0] in _BMP_HEADERS
    return head.startswith(_SIGNATURES)


def decode(data: bytes, *, side_px: int, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image file: first frame, EXIF orientation applied, alpha over white.

    Args:
        data: The file's bytes.
        side_px: Longer side of what the network sees. A large JPEG is decoded at a fraction of its size that keeps
            both sides at twice this, and at 448 pixels, or more (docs/benchmarks.md: what that does to the vectors).
        max_pixels: Largest width times height taken; larger ones are refused before any pixel is decoded.

    Returns:
        The image in mode RGB, and its full width and height in pixels as displayed.

    Raises:
        ImageError: The bytes are no image that we read, are damaged, or hold too many pixels.
    """
    if not data:
        raise ImageError("decode", "empty", "the file has no bytes")
    try:
        return _decode(data, side_px, max_pixels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("decode", "not an image", "the bytes are no image of a kind that is read") from error
    except Image.DecompressionBombError as error:
        raise ImageError("decode", "too large", str(error)) from error
    except Exception as error:
        raise ImageError("decode", _reason(error), str(error) or type(error).__name__) from error


def _decode(data: bytes, side_px: int, max_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        size = image.size  # TIFF tells it as displayed, and turns itself upright while it loads
        for width, height in (size, _tile_size(image)):
            if width * height > max_pixels:
                raise ImageError("decode", "too large", f"{width} x {height} pixels; the limit is {max_pixels}")
        drafted_px = max(2 * side_px, LEAST_DRAFT_PX)
        image.draft(None, (drafted_px, drafted_px))
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image)
    if orientation not in _UPRIGHT:
        return rgb, size
    return rgb.transpose(_UPRIGHT[orientation]), size[::-1] if orientation in _LYING else size


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Give width and height of a tile: of a TIFF whole tiles are decoded, and one may be larger than the image."""
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return int(tags.get(TiffImagePlugin.TILEWIDTH, 0)), int(tags.get(TiffImagePlugin.TILELENGTH, 0))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  broken EXIF data does not make the pixels worse
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ImageError("decode", "unsupported", "floating-point pixels have no fixed range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _from_16_bits(values: Any) -> Image.Image:
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageError("decode", "unsupported", "grey values beyond 16 bits have no fixed range")
    scaled = (values.astype(np.uint32) + 128) // 257  # Pillow's own conversion clips instead
    return Image.fromarray(scaled.astype(np.uint8))


def _reason(error: Exception) -> str:
    return "truncated" if "truncated" in str(error).lower() else "damaged"

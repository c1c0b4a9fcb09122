"""Bytes of an image file -> an upright RGB image of 8 bits a channel."""

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from PIL import (
    AvifImagePlugin,
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

from frieze.core import OUT_OF_MEMORY, ImageError
from frieze.embedder.images import png_chunks, tiff_pages
from frieze.embedder.images.colour_profiles import other_than_srgb
from frieze.embedder.images.decode_memory import DECODE_MEMORY
from frieze.embedder.images.decoding_tally import Traits
from frieze.embedder.images.deep_pixels import to_8_bits
from frieze.embedder.images.picture_formats import is_heic, open_heic, refusal
from frieze.embedder.images.pillow_corrections import correct
from frieze.embedder.images.tiff_pages import Picture, find_picture

VERSION = "pillow-draft-bilinear-1"
"""Stored with every embedding: what changes a pixel changes this word."""

MAX_PIXELS = 178_956_970
"""Largest image taken unless asked otherwise; the size at which Pillow itself cries decompression bomb."""

MAX_BYTES = 1 << 30
"""Largest file taken unless asked otherwise."""

STRETCHED = f"{VERSION}+stretch"
"""Stands in its place where images of more than 8 bits a channel are stretched to the range of each."""

_PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here so that each is registered before the first image is opened."""

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
LEAST_DRAFT_PX = 448  # small networks see the loss of a smaller draft: least cosine .997 instead of .999

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

_BYTES_A_PIXEL = {"WEBP": 17, "AVIF": 12, "HEIF": 12, "GIF": 12}
_BYTES_ELSE = 8  # two layers of RGB, which Pillow keeps in 4 bytes
_PROGRESSIVE_BYTES = 6  # of a JPEG at its full size, whatever the fraction: two for each coefficient
"""What decoding takes at its peak (measured at 36 megapixels)."""

_STRIP_PIXELS = 1 << 20
_OPAQUE, _ALL_WHITE = 255, ((255, 255),) * 3
_TRUNCATED = ("truncated", "unexpected end of file", "insufficient input")  # Pillow; libheif
_NO_MEMORY = ("out of memory", "memory allocation")  # Pillow, libavif; libheif
_PILLOW = r"PIL\."

_OF_IOS = (
    "a PNG as Xcode packs it into apps for iOS (CgBI), which is no PNG any more; "
    "convert it first: xcrun -sdk iphoneos pngcrush -revert-iphone-optimizations FILE FILE.png"
)

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


class Decoded(NamedTuple):
    """What an image file gives.

    Attributes:
        image: Mode RGB, upright.
        size: Its full width and height in pixels as displayed.
        traits: What else is told of it.
    """

    image: Image.Image
    size: tuple[int, int]
    traits: Traits


class _How(NamedTuple):
    side_px: int
    max_pixels: int
    stretches: bool = False


def decode(data: bytes, *, side_px: int, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image file: the picture in it, or the first of several, EXIF orientation applied, alpha over white.

    Args:
        data: The file's bytes.
        side_px: Longer side of what the network sees. A large JPEG is decoded at a fraction of its size that keeps
            both sides at twice this, and at 448 pixels, or more (docs/benchmarks.md: what that does to the vectors).
        max_pixels: Largest width times height taken; larger ones are refused before any pixel is decoded.

    Returns:
        The image in mode RGB, and its full width and height in pixels as displayed.

    Raises:
        ImageError: The bytes are no image that is read, are damaged, or hold too many pixels; or there is no memory.
    """
    with _telling_no_memory(), contextlib.ExitStack() as held:
        found = _decode_or_refuse(data, _How(side_px, max_pixels), held)
        return found.image, found.size


@contextlib.contextmanager
def decoded(data: bytes, *, side_px: int, max_pixels: int = MAX_PIXELS, stretches: bool = False) -> Iterator[Decoded]:
    """Decode an image file as `decode` does; the memory that it takes is counted while the block runs.

    Where the block itself finds too little memory, that is the image's failure as well.

    Args:
        data: The file's bytes.
        side_px: As for `decode`.
        max_pixels: As for `decode`.
        stretches: Take the lowest and highest value of an image of more than 8 bits a channel for black and white.

    Raises:
        ImageError: As for `decode`.
    """
    with _telling_no_memory(), contextlib.ExitStack() as held:
        found = _decode_or_refuse(data, _How(side_px, max_pixels, stretches), held)
        held.callback(found.image.close)
        yield found


@contextlib.contextmanager
def _telling_no_memory() -> Iterator[None]:
    """Make a lack of memory the failure of the one image, which another run tries again."""
    try:
        yield
    except MemoryError as error:
        raise ImageError("decode", OUT_OF_MEMORY, str(error) or "there was no memory for its pixels") from error


def _decode_or_refuse(data: bytes, how: _How, held: contextlib.ExitStack) -> Decoded:
    if not data:
        raise ImageError("decode", "empty", "the file has no bytes")
    try:
        return _decode(data, how, held)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Image.DecompressionBombError as error:
        raise ImageError("decode", "too large", str(error)) from error
    except Exception as error:
        lighter = png_chunks.without_large_texts(data) if _may_have_large_texts(data, error) else data
        if lighter is not data:
            held.close()
            return _decode_or_refuse(lighter, how, held)
        raise ImageError("decode", _reason(error), str(error) or type(error).__name__) from error


def _may_have_large_texts(data: bytes, error: Exception) -> bool:
    return isinstance(error, ValueError) and data.startswith(png_chunks.SIGNATURE)


def _decode(data: bytes, how: _How, held: contextlib.ExitStack) -> Decoded:
    picture = _find_picture(data, how.max_pixels)
    with _open(picture.data) as image:
        size = image.size  # TIFF tells it as displayed, and turns itself upright while it loads
        for width, height in (size, _tile_size(image)):
            if width * height > how.max_pixels:
                raise ImageError("decode", "too large", f"{width} x {height} pixels; the limit is {how.max_pixels}")
        drafted_px = max(2 * how.side_px, LEAST_DRAFT_PX)
        image.draft(None, (drafted_px, drafted_px))
        held.enter_context(DECODE_MEMORY.take(_count_bytes(image, size)))
        image.load()
        orientation = _orientation(image) or picture.orientation
        profile = other_than_srgb(image, picture.data)
        rgb, n_levels, is_cleared = _to_rgb(image, picture, stretches=how.stretches)
        traits = Traits(n_levels, _is_first_of_several(image, data), profile, is_cleared)
    if orientation not in _UPRIGHT:
        return Decoded(rgb, size, traits)
    return Decoded(rgb.transpose(_UPRIGHT[orientation]), size[::-1] if orientation in _LYING else size, traits)


def _find_picture(data: bytes, max_pixels: int) -> Picture:
    if data.startswith(tiff_pages.SIGNATURES):
        return find_picture(data, max_pixels=max_pixels)
    if png_chunks.is_of_ios(data):
        raise ImageError("decode", "unsupported", _OF_IOS)
    return Picture(png_chunks.without_misleading_texts(data))


def _open(data: bytes) -> Image.Image:
    return open_heic(data) if is_heic(data) else Image.open(io.BytesIO(data), formats=_FORMATS)


def _unidentified(data: bytes) -> ImageError:
    page = tiff_pages.read_first_page(data) if data.startswith(tiff_pages.SIGNATURES) else None
    if page is None or not page.tags:
        return refusal(data)
    bits, names = page.tags.get(tiff_pages.BITS, (1,)), (tiff_pages.PHOTOMETRIC, tiff_pages.COMPRESSION)
    photometric, compression = (page.first(tag) for tag in names)
    told = f"{' + '.join(map(str, bits))} bits a pixel, photometric {photometric}, compression {compression}"
    return ImageError("decode", "unsupported", f"a TIFF with {told} is not read; convert it to PNG")


def _is_first_of_several(image: Image.Image, data: bytes) -> bool:
    """Tell whether a file is an animation, or has more pages; what else is in a JPEG (MPO) belongs to its picture."""
    if data.startswith(tiff_pages.SIGNATURES):
        return tiff_pages.has_several(data)
    if image.format != "GIF":
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    try:
        with _open(data) as other:  # to look for a second picture is to seek
            return bool(getattr(other, "is_animated", False))
    except Exception:  # noqa: BLE001  what comes after the first picture is broken
        return False


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Give width and height of a tile: of a TIFF whole tiles are decoded, and one may be larger than the image."""
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return int(tags.get(TiffImagePlugin.TILEWIDTH, 0)), int(tags.get(TiffImagePlugin.TILELENGTH, 0))


def _count_bytes(image: Image.Image, size: tuple[int, int]) -> int:
    """Estimate what decoding takes at its peak, before it begins."""
    n_bytes = image.width * image.height * _BYTES_A_PIXEL.get(str(image.format), _BYTES_ELSE)
    return n_bytes + size[0] * size[1] * _PROGRESSIVE_BYTES * bool(image.info.get("progressive"))


def _orientation(image: Image.Image) -> int | None:
    """Return the orientation that the image tells; None where it tells none, or can't be read."""
    try:
        told = image.getexif().get(ExifTags.Base.Orientation)
        return None if told is None else int(told)
    except Exception:  # noqa: BLE001  broken EXIF data does not make the pixels worse
        return None


def _to_rgb(image: Image.Image, picture: Picture, *, stretches: bool) -> tuple[Image.Image, int | None, bool]:
    """Return the image in mode RGB, how many levels it reaches over, and whether transparency made it all white."""
    image = correct(image, picture.data)
    image, n_levels = to_8_bits(image, picture.data, is_inverted=picture.is_inverted, stretches=stretches)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB"), n_levels, False  # which would copy it
    rgb = _over_white(image)
    is_white = rgb.getextrema() == _ALL_WHITE
    return rgb, n_levels, is_white and any(strip.getextrema()[-1][0] < _OPAQUE for _, strip in _rgba_strips(image))


def _rgba_strips(image: Image.Image) -> Iterator[tuple[int, Any]]:
    """Yield some rows after the other, and where they begin: each step would copy all of a large image."""
    n_rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, n_rows):
        yield top, image.crop((0, top, image.width, min(top + n_rows, image.height))).convert("RGBA")


def _over_white(image: Image.Image) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top, strip in _rgba_strips(image):
        rgb.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return rgb


def _reason(error: Exception) -> str:
    said = str(error).lower()
    if any(words in said for words in _NO_MEMORY):
        return OUT_OF_MEMORY
    return "truncated" if any(words in said for words in _TRUNCATED) else "damaged"

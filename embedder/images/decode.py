"""Decodes the bytes of an image file to an upright RGB image of 8 bits a channel."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError

from frieze.core import OUT_OF_MEMORY, ImageError
from frieze.embedder.images import jpeg, png_chunks, tiff_bands, tiff_pages
from frieze.embedder.images.bit_depth import to_8_bits
from frieze.embedder.images.camera_raw import develop, read_raw
from frieze.embedder.images.colour_profiles import SRGB, Colours, profile_colours, read_colours
from frieze.embedder.images.decode_memory import DECODE_MEMORY
from frieze.embedder.images.decoding_tally import Traits
from frieze.embedder.images.jpeg_xl import open_jpeg_xl, read_size
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.open_image import (
    PEAK_BYTES,
    count_bytes,
    is_first_of_several,
    open_image,
    tile_size,
    unidentified_error,
)
from frieze.embedder.images.part_file import read_full_size
from frieze.embedder.images.pillow_fixes import fix_colours
from frieze.embedder.images.sample_range import SampleRange, split_decoding
from frieze.embedder.images.signatures import can_read_raw, is_jpeg_xl, raw_name
from frieze.embedder.images.tiff_pages import Picture, RawFileError, find_picture

VERSION = "pillow-draft-bilinear-3"
"""The version of decoding, stored with every table: any change of pixels changes it."""

MIN_DRAFT_PX = {"pillow-draft-bilinear-1": 448, "pillow-draft-bilinear-2": 896, VERSION: 896}
"""Version -> the least side of a JPEG decoded at a fraction of its size, whatever the network. With 448 the vectors of
one real photograph in ten had a cosine below .999 to those of a full decode (docs/benchmarks.md)."""

_AS_STORED = ("pillow-draft-bilinear-1", "pillow-draft-bilinear-2")
"""Versions that take colours as they are stored, whatever the ICC profile."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the image upright (CIPA DC-008, tag 274)."""
TRANSPOSED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

_STRIP_PIXELS = 1 << 20
_OPAQUE, _ALL_WHITE = 255, ((255, 255),) * 3
_TRUNCATED = ("truncated", "unexpected end of file", "insufficient input")  # Pillow; libheif
_NO_MEMORY = ("out of memory", "memory allocation")  # Pillow, libavif; libheif

_IOS_PNG = (
    "a PNG as Xcode packs it into apps for iOS (CgBI), which is not standard PNG; "
    "convert it first: xcrun -sdk iphoneos pngcrush -revert-iphone-optimizations FILE FILE.png"
)


class Decoded(NamedTuple):
    """A decoded image.

    Attributes:
        image: Mode RGB or RGBX, upright.
        size: Full width and height in pixels as displayed.
        traits: Properties that are counted for the report.
        colours: Its colour space; after resizing, `to_srgb` converts it.
    """

    image: Image.Image
    size: tuple[int, int]
    traits: Traits
    colours: Colours = SRGB


class DecodeOptions(NamedTuple):
    """How an image is decoded.

    Attributes:
        side_px: Longer side of the network's input.
        max_pixels: Largest width times height; larger images are rejected before any pixel is decoded.
        decoding: The version of decoding, as stored with a table.
    """

    side_px: int
    max_pixels: int = MAX_PIXELS
    decoding: str = VERSION

    @property
    def samples(self) -> SampleRange:
        """Which samples are shown, and which of their values are black and white."""
        return split_decoding(self.decoding)[1]

    def heed(self, colours: Colours) -> Colours:
        """Return the colours that this version of decoding converts."""
        return colours if converts_profiles(self.decoding) else Colours(colours.name)


def converts_profiles(decoding: str) -> bool:
    """Return whether a version of decoding, as stored with a table, brings ICC profiles to sRGB."""
    return split_decoding(decoding)[0] not in _AS_STORED


def least_draft_px(decoding: str, *, side_px: int) -> int:
    """Return the least side of a JPEG that is decoded at a fraction of its size.

    Args:
        decoding: The version of decoding, as stored with a table; any other text is the newest.
        side_px: Longer side of the network's input.
    """
    return max(2 * side_px, MIN_DRAFT_PX.get(split_decoding(decoding)[0], MIN_DRAFT_PX[VERSION]))


def current_decoding(decoding: str) -> str:
    """Return the current version of decoding, with the bands and the range of samples that another one states.

    >>> current_decoding("pillow-1+scale=0..9") == VERSION + "+scale=0..9"
    True
    """
    return VERSION + split_decoding(decoding)[1].suffix


def decode(
    data: bytes, *, side_px: int, max_pixels: int = MAX_PIXELS, decoding: str = VERSION
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode the first picture of an image file, upright, in sRGB, alpha composited over white.

    Args:
        data: The bytes of the file.
        side_px: Longer side of the network's input. A large JPEG is decoded at a fraction of its size (draft mode) that
            keeps both sides at least twice this, and 896 pixels (effect on the vectors: docs/benchmarks.md).
        max_pixels: Largest width times height; larger images are rejected before any pixel is decoded.
        decoding: The version of decoding, as stored with a table.

    Returns:
        The image in mode RGB, and its full width and height in pixels as displayed.

    Raises:
        ImageError: The format is unsupported, the file is damaged, has too many pixels, or memory runs out.
    """
    return decode_as(data, DecodeOptions(side_px, max_pixels, decoding))


def decode_as(data: bytes, options: DecodeOptions) -> tuple[Image.Image, tuple[int, int]]:
    """Decode as `decode` does, by any version of decoding.

    Raises:
        ImageError: As in `decode`.
    """
    with _translate_memory_errors(), contextlib.ExitStack() as held:
        image, size, _, colours = _decode_or_raise(data, options, held)
        return colours.image_to_srgb(image).convert("RGB"), size


@contextlib.contextmanager
def decoded(data: bytes, *, side_px: int, max_pixels: int = MAX_PIXELS, decoding: str = VERSION) -> Iterator[Decoded]:
    """Decode an image file as `decode` does, and reserve its memory while the block runs.

    A MemoryError of the block is the image's failure too.

    Args:
        data: The bytes of the file.
        side_px: As in `decode`.
        max_pixels: As in `decode`.
        decoding: The version of decoding, as stored with a table.

    Raises:
        ImageError: As in `decode`.
    """
    with _translate_memory_errors(), contextlib.ExitStack() as held:
        decoded_image = _decode_or_raise(data, DecodeOptions(side_px, max_pixels, decoding), held)
        held.callback(decoded_image.image.close)
        yield decoded_image


@contextlib.contextmanager
def _translate_memory_errors() -> Iterator[None]:
    """Raise a MemoryError as the failure of one image, which a later run tries again."""
    try:
        yield
    except MemoryError as error:
        raise ImageError("decode", OUT_OF_MEMORY, str(error) or "there was no memory for its pixels") from error


def _decode_or_raise(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded:
    if not data:
        raise ImageError("decode", "empty", "the file has no bytes")
    try:
        return _decode(data, options, held)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise unidentified_error(data) from error
    except Image.DecompressionBombError as error:
        raise ImageError("decode", "too large", str(error)) from error
    except Exception as error:
        lighter = png_chunks.without_large_texts(data) if _may_have_large_texts(data, error) else data
        if lighter is not data:
            held.close()
            return _decode_or_raise(lighter, options, held)
        raise ImageError("decode", _reason(error), str(error) or type(error).__name__) from error


def _may_have_large_texts(data: bytes, error: Exception) -> bool:
    return isinstance(error, ValueError) and data.startswith(png_chunks.SIGNATURE)


def _decode(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded:
    if is_jpeg_xl(data):
        return _decode_jpeg_xl(data, options, held)
    decoded_image = _decode_usual_jpeg(data, options, held) if data.startswith(jpeg.SIGNATURE) else None
    try:
        return decoded_image or _decode_by_pillow(data, options, held)
    except RawFileError:
        if not can_read_raw():
            raise
    except UnidentifiedImageError:
        picture = to_picture(data, options.max_pixels)
        page = tiff_bands.page_for_tifffile(picture.data)
        if page is None:
            raise
        return _decode_bands(picture, page, options, held)
    return _decode_raw(data, options, held)


def _decode_bands(
    picture: Picture, page: tiff_pages.Page, options: DecodeOptions, held: contextlib.ExitStack
) -> Decoded:
    """Decode the bands of a TIFF that the user chose, or that Pillow does not read."""
    _check_size(page.size, options)
    bands = tiff_bands.check_bands(page, options.samples)
    held.enter_context(DECODE_MEMORY.take(tiff_bands.check_samples(page, options.max_pixels)))
    image, n_levels = tiff_bands.decode_bands(picture, page, bands, options.samples)
    traits = Traits()._replace(n_levels=n_levels, is_first_of_several=tiff_pages.has_several(picture.data))
    decoded_bands = Decoded(image.convert("RGB"), image.size, traits)
    return _upright(decoded_bands, tiff_bands.read_orientation(picture, page))


def _decode_usual_jpeg(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded | None:
    header = jpeg.read_header(data)
    if header is None or header.width * header.height > options.max_pixels:
        return None
    least_px = least_draft_px(options.decoding, side_px=options.side_px)
    with contextlib.ExitStack() as reserved:  # released before Pillow reserves its own
        image = jpeg.decode_pixels(data, header, least_px=least_px, held=reserved)
        if image is None:
            return None
        held.push(reserved.pop_all())
    colours = options.heed(profile_colours(header.profile, header.mode) if header.profile else SRGB)
    traits = Traits.of(colours)
    return _upright(Decoded(image, (header.width, header.height), traits, colours), header.orientation)


def _decode_jpeg_xl(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded:
    size = read_size(data)
    if size is None:
        raise ImageError("decode", "damaged", "the JPEG XL has no readable header")
    _check_size(size, options)
    with contextlib.ExitStack() as reserved:  # released before the JPEG inside of it reserves its own
        reserved.enter_context(DECODE_MEMORY.take(size[0] * size[1] * PEAK_BYTES["JXL"]))
        image = open_jpeg_xl(data, size)
        if not isinstance(image, bytes):
            held.push(reserved.pop_all())
    if isinstance(image, bytes):
        return _decode(image, options, held)
    colours = options.heed(read_colours(image, data))
    rgb, n_levels, is_cleared = _to_rgb(image, Picture(data), samples=options.samples)
    traits = Traits.of(colours)._replace(n_levels=n_levels, is_cleared=is_cleared)
    return Decoded(rgb, image.size, traits, colours)


def _decode_raw(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded:
    least_px = least_draft_px(options.decoding, side_px=options.side_px)
    raw = read_raw(data, least_px=least_px)
    _check_size(raw.size, options)
    if raw.preview:
        preview = _decode(raw.preview, options, held)
        return _upright(preview, raw.orientation)._replace(size=raw.size)
    held.enter_context(DECODE_MEMORY.take(raw.size[0] * raw.size[1] * PEAK_BYTES["RAW"]))
    return Decoded(develop(data, least_px=least_px), raw.size, Traits())


def _check_size(size: tuple[int, int], options: DecodeOptions) -> None:
    width, height = size
    if width * height > options.max_pixels:
        raise ImageError("decode", "too large", f"{width} x {height} pixels; the limit is {options.max_pixels}")


def _decode_by_pillow(data: bytes, options: DecodeOptions, held: contextlib.ExitStack) -> Decoded:
    picture = to_picture(data, options.max_pixels)
    if options.samples.bands is not None:
        page = tiff_bands.page_for_tifffile(picture.data)
        if page is not None and tiff_bands.has_extra_bands(page):
            return _decode_bands(picture, page, options, held)
    with open_image(picture.data) as image:
        size = image.size  # of a TIFF as displayed: Pillow turns it upright while it loads
        _check_size(size, options)
        _check_size(tile_size(image), options)
        drafted_px = least_draft_px(options.decoding, side_px=options.side_px)
        image.draft(None, (drafted_px, drafted_px))
        held.enter_context(DECODE_MEMORY.take(count_bytes(image, size)))
        image.load()
        orientation = read_orientation(image) or picture.orientation
        colours = options.heed(read_colours(image, picture.data))
        rgb, n_levels, is_cleared = _to_rgb(colours.inks_to_srgb(image), picture, samples=options.samples)
        traits = Traits.of(colours)._replace(
            n_levels=n_levels, is_first_of_several=is_first_of_several(image, data), is_cleared=is_cleared
        )
    return _upright(Decoded(rgb, read_full_size(data) or size, traits, colours), orientation)


def _upright(stored: Decoded, orientation: int | None) -> Decoded:
    if orientation not in _UPRIGHT:
        return stored
    size = stored.size[::-1] if orientation in TRANSPOSED else stored.size
    return stored._replace(image=stored.image.transpose(_UPRIGHT[orientation]), size=size)


def to_picture(data: bytes, max_pixels: int) -> Picture:
    """Return the picture of a file that Pillow reads, without what would mislead it.

    Raises:
        ImageError: It is a camera's raw file, or an unusual PNG.
    """
    if data.startswith(tiff_pages.SIGNATURES):
        return find_picture(data, max_pixels=max_pixels)
    raw = raw_name(data)
    if raw is not None:
        raise tiff_pages.raw_error(raw)
    if png_chunks.is_ios_png(data):
        raise ImageError("decode", "unsupported", _IOS_PNG)
    return Picture(png_chunks.without_misleading_texts(data))


def read_orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation; None for none or broken EXIF data."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return None if orientation is None else int(orientation)
    except Exception:  # noqa: BLE001  broken EXIF data does not make the pixels worse
        return None


def _to_rgb(image: Image.Image, picture: Picture, *, samples: SampleRange) -> tuple[Image.Image, int | None, bool]:
    """Return the image in mode RGB, the number of its levels, and whether transparency makes it all white."""
    image = fix_colours(image, picture.data)
    image, n_levels = to_8_bits(image, picture.data, is_inverted=picture.is_inverted, samples=samples)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB"), n_levels, False  # converting would copy it
    rgb = _over_white(image)
    is_white = rgb.getextrema() == _ALL_WHITE
    return rgb, n_levels, is_white and any(strip.getextrema()[-1][0] < _OPAQUE for _, strip in _rgba_strips(image))


def _rgba_strips(image: Image.Image) -> Iterator[tuple[int, Any]]:
    """Yield strips of rows, each with its top: converting a large image as a whole would copy it several times."""
    n_rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, n_rows):
        yield top, image.crop((0, top, image.width, min(top + n_rows, image.height))).convert("RGBA")


def _over_white(image: Image.Image) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top, strip in _rgba_strips(image):
        rgb.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return rgb


def _reason(error: Exception) -> str:
    message = str(error).lower()
    if any(words in message for words in _NO_MEMORY):
        return OUT_OF_MEMORY
    return "truncated" if any(words in message for words in _TRUNCATED) else "damaged"

"""Converts images of more than 8 bits a channel to 8 bits: by the range in the file, or by that of each image."""

import io
import math
import numbers
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from frieze.core import ImageError
from frieze.embedder.images import png_chunks
from frieze.embedder.images.sample_range import SampleRange
from frieze.embedder.images.tiff_pages import BITS, MAX_SAMPLE, MIN_SAMPLE, S_MAX_SAMPLE, S_MIN_SAMPLE, SAMPLE_FORMAT

NARROW_LEVELS = 85
"""An image that covers at most a third of 256 levels is nearly black, or one grey."""

NO_RANGE = "pixels have no fixed range"
"""Begins the message of an image whose values of black and white are unknown."""
_RANGE_HINT = "--scale LOW..HIGH states it, --stretch takes that of each image itself"

_WHITE, _FULL, _BYTE_BITS, _WORD_BITS = 255, 0xFFFF, 8, 16
_SIGNED = 2  # a value of SampleFormat
_STRIP_PIXELS = 1 << 20
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte order at the end of Pillow's raw modes -> the opposite, which decodes the lower byte."""

_Values = npt.NDArray[Any]


class Levels(NamedTuple):
    """An image of 8 bits a channel.

    Attributes:
        image: Mode L, RGB or RGBA; unchanged if it has 8 bits.
        n_levels: Number of levels from darkest to lightest, inclusive; None if it has 8 bits a channel or one colour.
    """

    image: Image.Image
    n_levels: int | None = None


class Range(NamedTuple):
    """The values of black and white."""

    black: float
    white: float


WHOLE = Range(0, _FULL)
AS_STATED = SampleRange()
"""The range that the file states."""


def to_8_bits(
    image: Image.Image, data: bytes, *, is_inverted: bool = False, samples: SampleRange = AS_STATED
) -> Levels:
    """Scale the values of an image to 8 bits.

    White is what the file states (TIFF: SMaxSampleValue, MaxSampleValue, else the bits a sample; PNG: sBIT), unless the
    pixels contradict it.

    Args:
        image: A loaded image of any mode.
        data: The file that the image was opened from.
        is_inverted: Whether the lowest value is white.
        samples: The values of black and white that the user states instead.

    Raises:
        ImageError: The range is unknown.
    """
    if image.mode in {"F", "I"} or image.mode.startswith("I;16") or _is_signed_byte(image):
        return _from_grey(image, data, is_inverted=is_inverted, samples=samples)
    if image.mode in ("RGB", "RGBA") and _bits(image, data) == _WORD_BITS:
        return _from_colours(image, data, samples=samples)
    return Levels(image)


def _is_signed_byte(image: Image.Image) -> bool:
    return image.mode == "L" and _numbers(image, SAMPLE_FORMAT)[:1] == (_SIGNED,)


def _from_grey(image: Image.Image, data: bytes, *, is_inverted: bool, samples: SampleRange) -> Levels:
    values = np.asarray(image).view(np.int8) if _is_signed_byte(image) else np.asarray(image)
    clear = image.info.get("transparency")
    is_clear = values == clear if isinstance(clear, int) else None
    visible = values if is_clear is None else values[~is_clear]
    extremes = find_extremes(visible)
    levels = scale_values(values, _range(image, data, visible, extremes, samples=samples))
    if is_inverted:
        levels = _WHITE - levels
    if is_clear is not None:
        levels[is_clear] = _WHITE
    shown = levels if is_clear is None else levels[~is_clear]
    return Levels(Image.fromarray(levels), count_levels(shown, extremes))


def _from_colours(image: Image.Image, data: bytes, *, samples: SampleRange) -> Levels:
    """Scale RGB, with or without alpha, of which Pillow decodes only the upper bytes."""
    clear = image.info.get("transparency")
    is_stated = samples.stretches or samples.scale is not None or _stated_range(image, data) is not None
    if not is_stated and not isinstance(clear, tuple):
        return Levels(image, _count_colours(image, data))
    values = _read_16_bit(image, data)
    is_clear = (values == np.array(clear)).all(axis=-1) if isinstance(clear, tuple) else None
    visible = values if is_clear is None else values[~is_clear]
    extremes = find_extremes(visible)
    levels = scale_values(values, _range(image, data, visible, extremes, samples=samples))
    if is_clear is not None:
        levels[is_clear] = _WHITE
    scaled = Image.fromarray(levels)
    if image.mode == "RGBA":
        scaled.putalpha(image.getchannel("A"))
    return Levels(scaled, count_levels(levels if is_clear is None else levels[~is_clear], extremes))


def _count_colours(image: Image.Image, data: bytes) -> int | None:
    extremes: Any = image.getextrema()[:3]
    is_flat = all(low == high for low, high in extremes)
    values = _read_16_bit(image, data) if is_flat else None
    if values is not None and (values == values[0, 0]).all():
        return None
    return int(max(high for _, high in extremes) - min(low for low, _ in extremes)) + 1


def _read_16_bit(image: Image.Image, data: bytes) -> _Values:
    """Return uint16 [h, w, 3]: the upper bytes and, where Pillow can decode them, the lower ones."""
    upper = np.asarray(image.convert("RGB") if image.mode == "RGBA" else image).astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=(str(image.format),)) as other:
        tiles = [_lower(tile) for tile in other.tile]
        if None in tiles:
            return upper << np.uint16(_BYTE_BITS)
        other.tile = [tile for tile in tiles if tile is not None]
        other.load()
        lower = np.asarray(other.convert("RGB") if other.mode == "RGBA" else other)
    values: _Values = upper << np.uint16(_BYTE_BITS) | lower
    return values


def _lower(tile: Any) -> Any:
    """Return the tile that decodes to the lower bytes; None if Pillow has no such mode."""
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    mode = args[0]
    if mode[:-1] not in ("RGB;16", "RGBX;16", "RGBA;16"):
        return None
    swapped = (mode[:-1] + _SWAPPED[mode[-1]], *args[1:])
    return tile._replace(args=swapped if isinstance(tile.args, tuple) else swapped[0])


def _bits(image: Image.Image, data: bytes) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(_numbers(image, BITS), default=_BYTE_BITS))
    return _WORD_BITS if png_chunks.is_16_bit(data) else _BYTE_BITS


def _numbers(image: Image.Image, tag: int) -> tuple[float, ...]:
    """Return the numbers of a TIFF tag."""
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    values = tags.get(tag, ())
    items = values if isinstance(values, tuple) else (values,)
    return tuple(float(one) for one in items if isinstance(one, numbers.Real) and math.isfinite(one))


def find_extremes(values: _Values) -> Range | None:
    """Return the lowest and highest finite value; None where there is no value at all.

    Raises:
        ImageError: No value is finite, as in a tile without data.
    """
    finite = values if values.dtype.kind != "f" or np.isfinite(values).all() else values[np.isfinite(values)]
    if values.size and not finite.size:
        raise ImageError("decode", "no values", "every pixel is NaN or infinite")
    return Range(finite.min().item(), finite.max().item()) if finite.size else None


def choose_range(extremes: Range, samples: SampleRange) -> Range | None:
    """Return the values of black and white that the user states; None where the file has to state them.

    Args:
        extremes: The lowest and highest finite value.
        samples: What the user states.
    """
    if samples.scale is not None:
        return Range(*samples.scale)
    return extremes if samples.stretches and extremes.black < extremes.white else None


def _range(image: Image.Image, data: bytes, visible: _Values, extremes: Range | None, *, samples: SampleRange) -> Range:
    """Return the values of black and white.

    Raises:
        ImageError: The range is unknown.
    """
    if extremes is None:
        return WHOLE
    chosen = choose_range(extremes, samples)
    if chosen is not None:
        return chosen
    for one in (_stated_range(image, data), _range_of_bits(image)):
        if (
            one is not None
            and one.black <= extremes.black
            and extremes.white <= one.white
            and _is_consistent(data, one, visible)
        ):
            return one
    raise no_range_error(visible.dtype)


def no_range_error(dtype: npt.DTypeLike) -> ImageError:
    """Return the failure of an image whose values of black and white are unknown."""
    what = "floating-point pixels" if np.dtype(dtype).kind == "f" else "values beyond 16 bits, or below 0"
    return ImageError("decode", "unsupported", f"{NO_RANGE}: {what}; {_RANGE_HINT}")


def _stated_range(image: Image.Image, data: bytes) -> Range | None:
    """Return the range stated in the file, apart from its bits a sample."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        blacks = _numbers(image, S_MIN_SAMPLE) or _numbers(image, MIN_SAMPLE) or (0,)
        whites = _numbers(image, S_MAX_SAMPLE) or _numbers(image, MAX_SAMPLE)
        stated = Range(min(blacks), max(whites, default=0))
        return stated if stated.black < stated.white and stated != WHOLE else None
    bits = png_chunks.significant_bits(data)
    return Range(0, 2**bits - 1) if bits is not None and 1 < bits < _WORD_BITS else None


def _range_of_bits(image: Image.Image) -> Range | None:
    """Return the range of the bits a sample; for 32 bits that of 16, which holds if no value exceeds it."""
    if image.mode == "F":
        return None
    bits = int(max(_numbers(image, BITS), default=_WORD_BITS))
    is_signed = _numbers(image, SAMPLE_FORMAT)[:1] == (_SIGNED,)
    return WHOLE if bits > _WORD_BITS else Range(0, 2 ** (bits - is_signed) - 1)


def _is_consistent(data: bytes, stated: Range, visible: _Values) -> bool:
    """Return whether pixels agree with the range: a valid PNG scales its significant bits up to 16."""
    if not png_chunks.is_16_bit(data) or stated.white >= _FULL:
        return True
    bits = int(stated.white).bit_length()
    return bool((visible & ((1 << _WORD_BITS - bits) - 1)).any())  # scaled: lower bits repeat upper ones


def scale_values(values: _Values, range_: Range) -> npt.NDArray[np.uint8]:
    """Return levels 0 to 255, rounded and clipped to the range; NaN becomes black."""
    levels = np.empty(values.shape, np.uint8)
    table = _table(range_) if values.dtype.kind == "u" and values.dtype.itemsize == 2 else None  # noqa: PLR2004
    for strip in _strips(values):
        levels[strip] = _levels(values[strip], range_) if table is None else table[values[strip]]
    return levels


def _strips(values: _Values) -> Iterator[slice]:
    """Yield slices of rows, so that intermediate results take little memory."""
    n_rows = max(1, _STRIP_PIXELS // max(1, math.prod(values.shape[1:])))
    yield from (slice(row, row + n_rows) for row in range(0, len(values), n_rows))


def _table(range_: Range) -> npt.NDArray[np.uint8]:
    return _levels(np.arange(_FULL + 1), range_)


def _levels(values: _Values, range_: Range) -> npt.NDArray[np.uint8]:
    within = np.nan_to_num(values.astype(np.float64), nan=range_.black).clip(*range_) - range_.black
    return np.floor(within * (_WHITE / (range_.white - range_.black)) + 0.5).astype(np.uint8)


def count_levels(levels: _Values, extremes: Range | None) -> int | None:
    """Return the number of levels from darkest to lightest, inclusive; None for one colour."""
    if extremes is None or extremes.black == extremes.white:
        return None
    return int(levels.max()) - int(levels.min()) + 1

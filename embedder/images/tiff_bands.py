"""TIFF files that Pillow does not read: floating-point colours, and more bands than red, green and blue."""

import functools
import importlib.util
import io
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from frieze.core import ImageError, counted
from frieze.embedder.images.bit_depth import (
    WHOLE,
    Levels,
    Range,
    choose_range,
    count_levels,
    find_extremes,
    no_range_error,
    scale_values,
)
from frieze.embedder.images.sample_range import SampleRange
from frieze.embedder.images.tiff_pages import (
    BITS,
    MAX_SAMPLE,
    ORIENTATION,
    PHOTOMETRIC,
    SIGNATURES,
    Page,
    Picture,
    read_first_page,
)

MANY_BANDS = "a TIFF of other bands than colours"
"""Begins the message of a TIFF whose bands are to be chosen."""
_SAMPLES, _EXTRA, _RGB = 277, 338, 2
_COLOURS = {0: 1, 1: 1, _RGB: 3}
"""Photometric -> the samples of its colour; of others, such as CMYK, bands are not chosen."""
_ALPHAS = (1, 2)
"""Values of ExtraSamples that mean transparency."""
_SHALLOW, _DEEPER, _DEEP, _WHITE = 8, (16, 32, 64), 16, 255
_TIMES_PIXELS = 4
"""An image may have so many samples for each pixel of the limit."""
_PEAK_BYTES = 16
"""Peak memory of scaling and of RGB, in bytes a pixel."""


@functools.cache
def can_read_bands() -> bool:
    """Return whether the extra that reads such files is installed."""
    return importlib.util.find_spec("tifffile") is not None


def count_bands(page: Page) -> int:
    """Return the samples of a pixel."""
    return page.first(_SAMPLES, 1)


def has_extra_bands(page: Page) -> bool:
    """Return whether a page has other samples than its colours and alpha, or fewer."""
    n_colours = _COLOURS.get(page.first(PHOTOMETRIC, 1))
    n_alphas = sum(one in _ALPHAS for one in page.tags.get(_EXTRA, ()))
    return n_colours is not None and count_bands(page) - n_alphas != n_colours


def page_for_tifffile(data: bytes) -> Page | None:
    """Return the first page of a TIFF that Pillow may not read and tifffile may; None for others."""
    page = read_first_page(data) if data.startswith(SIGNATURES) else None
    if page is None or page.first(PHOTOMETRIC, 1) not in _COLOURS or not all(page.size) or not count_bands(page):
        return None
    bits = set(page.tags.get(BITS, ()))
    is_whole = len(bits) == 1 and bits <= {_SHALLOW, *_DEEPER}
    return page if is_whole and (bits != {_SHALLOW} or has_extra_bands(page)) else None


def read_orientation(picture: Picture, page: Page) -> int:
    """Return the orientation of a picture whose page tifffile reads."""
    return page.first(ORIENTATION, 1) if picture.orientation is None else picture.orientation


def check_bands(page: Page, samples: SampleRange) -> tuple[int, ...]:
    """Return the numbers of the bands to show, from 1.

    Raises:
        ImageError: They are not stated, or the file lacks one; or the extra that reads it is not installed.
    """
    n_bands = count_bands(page)
    what = f"{counted(n_bands, 'band')} of {page.first(BITS, 1)} bits"
    if not can_read_bands():
        message = f"a scientific TIFF; to read it: pip install 'frieze[formats]' ({what})"
        raise ImageError("decode", "unsupported", message)
    if n_bands == 1:
        return (1,)
    if samples.bands is not None:
        if max(samples.bands) > n_bands:
            message = f"the TIFF has no band {max(samples.bands)}, which --bands asks for, but {what}"
            raise ImageError("decode", "unsupported", message)
        return samples.bands
    n_colours = _COLOURS[page.first(PHOTOMETRIC, 1)]
    if n_bands != n_colours:
        message = f"{MANY_BANDS} ({what}); --bands 4,3,2 chooses those to show as red, green and blue"
        raise ImageError("decode", "unsupported", message)
    return tuple(range(1, n_colours + 1))


def check_samples(page: Page, max_pixels: int) -> int:
    """Return the peak memory of decoding a page, in bytes.

    Raises:
        ImageError: It has too many samples.
    """
    n_pixels = page.size[0] * page.size[1]
    if n_pixels * count_bands(page) > max_pixels * _TIMES_PIXELS:
        message = (
            f"{n_pixels:,} pixels of {count_bands(page):,} bands; the limit is {max_pixels * _TIMES_PIXELS:,} samples"
        )
        raise ImageError("decode", "too large", message)
    return n_pixels * (count_bands(page) * -(-page.first(BITS, 1) // 8) + _PEAK_BYTES)


def decode_bands(picture: Picture, page: Page, bands: tuple[int, ...], samples: SampleRange) -> Levels:
    """Decode some bands of a page to grey or RGB of 8 bits a channel.

    Args:
        picture: The file whose first page is the picture.
        page: That page.
        bands: From `check_bands`.
        samples: The values of black and white.

    Raises:
        ImageError: The range is unknown, or the samples are no numbers.
    """
    values = _read(picture.data)[..., [band - 1 for band in bands]]
    if values.dtype == np.uint8 and page.first(BITS, 1) == _SHALLOW:
        return Levels(_to_image(_WHITE - values if picture.is_inverted else values))
    extremes = find_extremes(values)
    levels = scale_values(values, _range(values.dtype, extremes, page, samples))
    levels = _WHITE - levels if picture.is_inverted else levels
    return Levels(_to_image(levels), count_levels(levels, extremes))


def _read(data: bytes) -> npt.NDArray[Any]:
    """Return the first page's samples [h, w, n]."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else what it warns of goes to stderr
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        try:
            values, axes = page.asarray(maxworkers=1), page.axes  # the threads are ours
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            message = "its compression is read by: pip install imagecodecs"
            raise ImageError("decode", "unsupported", message) from error
    if axes not in ("YX", "YXS", "SYX") or values.dtype.kind not in "uif":
        raise ImageError("decode", "unsupported", f"a TIFF with axes {axes} of {values.dtype} is not read")
    return values[..., None] if axes == "YX" else np.moveaxis(values, 0, -1) if axes == "SYX" else values


def _range(dtype: npt.DTypeLike, extremes: Range | None, page: Page, samples: SampleRange) -> Range:
    if extremes is None:
        return WHOLE
    chosen = choose_range(extremes, samples)
    if chosen is not None:
        return chosen
    kind, bits = np.dtype(dtype).kind, page.first(BITS, 1)
    known = Range(0, page.first(MAX_SAMPLE) or 2 ** (min(bits, _DEEP) - (kind == "i" and bits <= _DEEP)) - 1)
    if kind != "f" and known.black <= extremes.black and extremes.white <= known.white:
        return known
    raise no_range_error(dtype)


def _to_image(levels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(levels[..., 0] if levels.shape[-1] == 1 else levels))

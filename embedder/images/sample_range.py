"""How the user states that samples of more than 8 bits, and more than three bands, become RGB of 8 bits a channel."""

import functools
import math
import re
from typing import NamedTuple, Self

from frieze.core import InputError

STRETCH = "+stretch"
"""Follows the version of decoding with `--stretch`: images of more than 8 bits are stretched to their range."""
_SCALE, _BANDS = "+scale=", "+bands="
_SUFFIXES = re.compile(r"\+scale=(?P<scale>[^+]+(\+\d[^+]*)*)|\+bands=(?P<bands>[\d,]+)")
_GREY, _COLOURS = 1, 3


class SampleRange(NamedTuple):
    """Which samples of an image are shown, and which of their values are black and white.

    Attributes:
        stretches: Map each image's lowest and highest value to black and white.
        scale: The values of black and white; None for those that the file states.
        bands: Numbers of the bands, from 1, that are red, green and blue, or the one that is grey; None for the
            colours that the file states.
    """

    stretches: bool = False
    scale: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None

    @classmethod
    def of(cls, *, stretch: bool, scale: str | None, bands: str | None) -> Self:
        """Parse the options.

        Raises:
            InputError: One is invalid, or two exclude each other.
        """
        if stretch and scale is not None:
            raise InputError(
                "`stretch` takes black and white from each image, `scale` states them for all.",
                hint="Leave one of the two out.",
            )
        return cls(stretch, None if scale is None else _to_scale(scale), None if bands is None else _to_bands(bands))

    @property
    def suffix(self) -> str:
        """What follows the version of decoding, as stored with a table.

        >>> SampleRange.of(stretch=False, scale="0..1e4", bands="4, 3,2").suffix
        '+scale=0..10000+bands=4,3,2'
        """
        scale = "" if self.scale_text is None else _SCALE + self.scale_text
        bands = "" if self.bands_text is None else _BANDS + self.bands_text
        return STRETCH * self.stretches + scale + bands

    @property
    def scale_text(self) -> str | None:
        """The scale as typed, in one form."""
        return None if self.scale is None else "..".join(repr(value).removesuffix(".0") for value in self.scale)

    @property
    def bands_text(self) -> str | None:
        """The bands as typed, in one form."""
        return None if self.bands is None else ",".join(map(str, self.bands))


@functools.cache
def split_decoding(decoding: str) -> tuple[str, SampleRange]:
    """Split a version of decoding, as stored with a table, from what the user stated.

    >>> split_decoding("pillow-1+scale=-0.5..1e+20+bands=8")
    ('pillow-1', SampleRange(stretches=False, scale=(-0.5, 1e+20), bands=(8,)))
    """
    version, _, _ = decoding.partition("+")
    scale = bands = None
    for match in _SUFFIXES.finditer(decoding, len(version)):
        scale, bands = match["scale"] or scale, match["bands"] or bands
    return version, SampleRange.of(stretch=STRETCH in decoding, scale=scale, bands=bands)


def _to_scale(text: str) -> tuple[float, float]:
    black, _, white = text.partition("..")
    try:
        scale = float(black), float(white)
    except ValueError:
        scale = (0.0, 0.0)
    if not (scale[0] < scale[1] and math.isfinite(scale[0]) and math.isfinite(scale[1])):
        raise InputError(
            f"`scale={text!r}` is no range: the value of black, two dots, and the higher value of white.",
            hint="Give for example `scale='0..1'` or `scale='0..10000'`.",
        )
    return scale


def _to_bands(text: str) -> tuple[int, ...]:
    numbers = [number.strip() for number in text.split(",")]
    bands = tuple(int(number) for number in numbers if number.isdecimal())
    if len(bands) != len(numbers) or len(bands) not in (_GREY, _COLOURS) or min(bands) < 1:
        raise InputError(
            f"`bands={text!r}` are not the bands for red, green and blue, or the one for grey, counted from 1.",
            hint="Give for example `bands='4,3,2'` or `bands='8'`.",
        )
    return bands

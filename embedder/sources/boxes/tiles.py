"""Tiles: equal parts of each image, which may overlap."""

import re
from fractions import Fraction

from frieze.core import InputError
from frieze.embedder.images.limits import USUAL_LIMITS, Limits
from frieze.embedder.sources.base import Source
from frieze.embedder.sources.boxes.box import Box, Shares
from frieze.embedder.sources.boxes.expand import expand

_RULE = re.compile(r"(?P<rows>[1-9]\d{0,2})x(?P<columns>[1-9]\d{0,2})(\+(?P<overlap>\d{1,2}(\.\d+)?)%)?")


def parse_tiles(text: str) -> list[Shares]:
    """Return the tiles of `ROWSxCOLUMNS`, or `ROWSxCOLUMNS+OVERLAP%`, in shares of an image: row by row.

    Neighbours share OVERLAP of a tile's width or height; all tiles are equal, and together cover the image.

    Raises:
        InputError: It is none of these.

    >>> [tuple(tile) for tile in parse_tiles("1x2")]
    [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
    >>> [(tile.top, tile.bottom) for tile in parse_tiles("2x1+50%")]
    [(0.0, 0.6666666666666666), (0.3333333333333333, 1.0)]
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise InputError(
            f"`tiles={text!r}` is no choice of tiles.",
            hint="Give rows and columns, as `tiles='2x3'`, and the share of a tile that neighbours have in common,"
            " as `tiles='2x3+10%'`.",
        )
    overlap = Fraction(match["overlap"] or 0) / 100
    down, across = (_cut(int(match[name]), overlap) for name in ("rows", "columns"))
    return [Shares(left, top, right, bottom) for top, bottom in down for left, right in across]


def _cut(n_tiles: int, overlap: Fraction) -> list[tuple[float, float]]:
    side = 1 / (n_tiles - (n_tiles - 1) * overlap)
    starts = [number * side * (1 - overlap) for number in range(n_tiles)]
    return [(float(start), float(start + side)) for start in starts]


def with_tiles(source: Source, tiles: str, *, limits: Limits = USUAL_LIMITS) -> Source:
    """Replace each image of a source by its tiles, as `with_boxes` does with boxes.

    Args:
        source: The images.
        tiles: As `parse_tiles` takes it.
        limits: Which images are refused.

    Raises:
        InputError: `tiles` is no choice of tiles.
    """
    places = parse_tiles(tiles)
    known = [(row, Box("", place)) for row in range(len(source.listing.images)) for place in places]
    return expand(source, known, what="Tiles", limits=limits)

"""Decide on the pixels whether two images are copies of one picture, and of what kind."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from frieze.indexing.duplicates.agreement import MIN_TEXTURED, Agreement, estimate_correlation, measure_agreement
from frieze.indexing.duplicates.alignment import Picture, guess_alignments, refine, rescale
from frieze.indexing.duplicates.colours import Colours, compare_colours, few_colours_share, ground_shares
from frieze.indexing.duplicates.laid import Laid, lay, outside
from frieze.indexing.duplicates.local_features import Affine, Pixels
from frieze.indexing.duplicates.overlay import find_overlay, is_drawing

_SOME_GROUND, _MIN_SAME_THING, _MAX_CHANGED_THING = 0.35, 0.98, 0.004  # of what stands on a plain ground
_MIN_TINY = 0.49  # correlation in tiny; copies that are confirmed have .519 and more
_NEAR = 0.75  # correlation from which the map is refined
_FLAT_LEVELS, _MIN_FLAT = 14, 0.8  # a filling: so many of its pixels near its median
_MIN_OVERLAID, _MAX_OVERLAID, _MIN_PHOTOGRAPH = 0.6, 0.35, 0.4
"""Correlation, share that differs, and share that shows something, for a text over a photograph to be looked for."""
_NEARLY_WHOLE = 0.985  # of a picture: it lies within the other, but for rounding
_SHARPER = 2.0  # times the pixels for what both show: more than an enlarged crop usually has
_MIN_FRAME, _MIN_PLAIN = 0.8, 0.93  # of the pixels of a frame have few colours; where it has no clear edge
_MIN_STEP = 30.0  # levels between a frame and the edge of what it holds
_MIN_FILLED = 0.97  # of the pixels of a frame of one colour: nothing is lost with it
_SAME_SCALE = 1.06  # ratio of pixels for what both show, up to which it may be a crop
_TURNED_DEGREES = 2.0


@dataclasses.dataclass(frozen=True)
class Match:
    """How two images show the same picture.

    Attributes:
        shares: Of the first and of the second image, the part that the other one shows too.
        framed: Whether what the other does not show is a filling or a frame, of the first and of the second.
        plain: Whether it has few colours but no clear edge, so that it may be a frame or a part of the picture.
        mirrored: Whether one is the mirror image of the other.
        degrees: Angle by which the second is turned against the first, 0 to 180.
        grey: Whether the first, and the second, lost its colours.
        recoloured: Whether the colours differ.
        clipped: Whether the first, and the second, lost its lights by that.
        overlaid: 0 or 1: over which of them something was laid; None for neither.
    """

    shares: tuple[float, float]
    framed: tuple[bool, bool] = (False, False)
    plain: tuple[bool, bool] = (False, False)
    mirrored: bool = False
    degrees: float = 0.0
    grey: tuple[bool, bool] = (False, False)
    recoloured: bool = False
    clipped: tuple[bool, bool] = (False, False)
    overlaid: int | None = None

    def swapped(self) -> "Match":
        """Return the match of the second image with the first."""
        overlaid = None if self.overlaid is None else 1 - self.overlaid
        flipped = {name: getattr(self, name)[::-1] for name in ("shares", "framed", "plain", "grey", "clipped")}
        return dataclasses.replace(self, **flipped, overlaid=overlaid)

    def derived(self) -> int | None:
        """Return which of the two was made of the other: 0, 1, or None where that can't be told."""
        signs = [
            self.overlaid,
            _only(self.framed),
            _only(self.grey),
            _only(self.clipped),
            None if self.is_whole or self._is_slanted else int(np.argmax(self.shares)),
        ]
        return next((sign for sign in signs if sign is not None), None)

    @property
    def is_whole(self) -> bool:
        """Whether each shows all of the other, so that no frame is mistaken for a part of the picture."""
        return min(self.shares) > _NEARLY_WHOLE

    def with_sizes(self, n_pixels: tuple[int, int]) -> "Match":
        """Decide with the sizes of both whether what is plain is a frame: a crop keeps the scale of its original.

        Args:
            n_pixels: Of the first and of the second; 0 where it is not known.
        """
        first, second = (share * n for share, n in zip(self.shares, n_pixels, strict=True))
        is_scaled = min(first, second) > 0 and not 1 / _SAME_SCALE < first / second < _SAME_SCALE
        framed = [framed or (plain and is_scaled) for framed, plain in zip(self.framed, self.plain, strict=True)]
        return dataclasses.replace(self, framed=(framed[0], framed[1]))

    def is_mutual_loss(self, n_pixels: tuple[int, int]) -> bool:
        """Tell whether each has what the other lacks, so that neither can go.

        One shows more or has the colours, or nothing lies over it; the other shows the same in far more pixels. A
        photograph on a contact sheet is such a case.

        Args:
            n_pixels: Of the first and of the second; 0 where it is not known.
        """
        inside = [share * n for share, n in zip(self.shares, n_pixels, strict=True)]
        return any(self._lacks(side) and inside[side] > _SHARPER * inside[1 - side] > 0 for side in (0, 1))

    def _lacks(self, side: int) -> bool:
        """Tell whether one of the two lacks a part of the picture, its colours, lights, or what lies under a text."""
        is_crop = self.shares[1 - side] < _NEARLY_WHOLE and not self.framed[1 - side] and not self._is_slanted
        return is_crop or self.grey[side] or self.clipped[side] or self.overlaid == side

    @property
    def _is_slanted(self) -> bool:
        """Whether one is turned by other than a quarter: corners are cut and filled."""
        return abs((self.degrees + 45) % 90 - 45) > _TURNED_DEGREES

    def to_json(self) -> dict[str, Any]:
        """Return the match as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Match":
        """Return the match of `to_json`."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**values)

    def kind(self) -> str:
        """Name how the second differs from the first: words of docs/json.md, joined by `+`."""
        is_slanted = self._is_slanted
        parts = {
            "cropped": self.shares[0] < _NEARLY_WHOLE and not self.framed[0] and not is_slanted,
            "uncropped": self.shares[1] < _NEARLY_WHOLE and not self.framed[1] and not is_slanted,
            "framed": self.framed[1] and not is_slanted,
            "unframed": self.framed[0] and not self.framed[1] and not is_slanted,
            "mirrored": self.mirrored,
            "turned": self.degrees > _TURNED_DEGREES,
            "grey": self.grey[1],
            "recoloured": self.recoloured and not self.grey[1],
            "overlaid": self.overlaid is not None,
        }
        return "+".join(part for part, holds in parts.items() if holds) or "re-encoded"


def compare(
    picture: Picture, other: Picture, details: Callable[[], tuple[Picture, Picture] | None], *, by_features: bool
) -> Match | None:
    """Decide whether two images show the same picture.

    Args:
        picture: The first, about 192 pixels wide.
        other: The second.
        details: Return both with more pixels; called where the small ones leave a doubt. None where it can't.
        by_features: Whether to look for crops and turns by any angle, which takes longer.

    Returns:
        None where they don't, or where that can't be told.
    """
    best: tuple[Agreement, Affine, Laid] | None = None
    for guess in guess_alignments(picture, other, by_features=by_features):
        for matrix, laid, agreement in _try(picture, other, guess):
            if agreement.is_clear:
                if not _contains(laid) or not _is_same_thing(laid, agreement):
                    continue
                colours = compare_colours(laid)
                agree = colours.agree and (
                    not colours.changed or any(colours.grey) or agreement.textured >= _MIN_PHOTOGRAPH
                )
                return _describe(laid, matrix, colours, overlaid=None) if agree else None
            if best is None or agreement.correlation > best[0].correlation:
                best = agreement, matrix, laid
    return None if best is None else _look_closer(picture, other, *best, details)


def _try(picture: Picture, other: Picture, matrix: Affine) -> Iterator[tuple[Affine, Laid, Agreement]]:
    """Yield a map with its agreement, and the refined one where that may be better."""
    estimate = estimate_correlation(picture, other, matrix)
    if estimate < _MIN_TINY:
        return  # as most maps: they are chance
    for is_refined in (False, True):
        matrix = refine(picture, other, matrix) if is_refined else matrix
        laid = lay(picture, other, matrix)
        if laid is None:
            return
        agreement = measure_agreement(laid)
        yield matrix, laid, agreement
        nearness = max(agreement.correlation, estimate if agreement.textured >= _MIN_PHOTOGRAPH else 0.0)
        if nearness < _NEAR or picture.is_periodic:
            return


def _only(sides: tuple[bool, bool]) -> int | None:
    """Return which side alone is true."""
    return int(sides[1]) if sides[0] != sides[1] else None


def _is_same_thing(laid: Laid, agreement: Agreement) -> bool:
    """Tell whether what stands on a plain ground is the same: there a small part makes another thing of it."""
    is_equal = agreement.correlation >= _MIN_SAME_THING and agreement.changed <= _MAX_CHANGED_THING
    return is_equal or min(ground_shares(laid)) < _SOME_GROUND


def _contains(laid: Laid) -> bool:
    """Tell whether one picture lies within the other, but for flat fillings."""
    return max(laid.shares) >= _NEARLY_WHOLE or any(
        _one_colour_share(outside(*source)[0]) >= _MIN_FLAT for source in laid.sources
    )


def _one_colour_share(colours: Pixels) -> float:
    """Return the share of pixels near their median colour."""
    if not len(colours):
        return 0.0
    near = np.abs(colours.astype(np.int16) - np.median(colours, axis=0)).max(axis=-1) <= _FLAT_LEVELS
    return float(near.mean())


def _look_around(laid: Laid, side: int) -> tuple[bool, bool]:
    """Look at what one of the pictures has around the other.

    Returns:
        Whether it is a border or the bars of a window: few colours, and an edge; and whether it has few colours, as a
        frame has, and some sides of pictures.
    """
    if laid.shares[side] >= _NEARLY_WHOLE:
        return False, False
    colours, step = outside(*laid.sources[side])
    share = few_colours_share(colours)
    is_frame = _one_colour_share(colours) >= _MIN_FILLED or (share >= _MIN_FRAME and step >= _MIN_STEP)
    return is_frame, share >= _MIN_PLAIN


def _look_closer(
    picture: Picture,
    other: Picture,
    agreement: Agreement,
    matrix: Affine,
    laid: Laid,
    details: Callable[[], tuple[Picture, Picture] | None],
) -> Match | None:
    """Decide with more pixels whether all that differs is a text over a photograph."""
    if not (
        agreement.correlation >= _MIN_OVERLAID
        and agreement.different <= _MAX_OVERLAID
        and agreement.n_textured >= MIN_TEXTURED
        and agreement.textured >= _MIN_PHOTOGRAPH
    ):
        return None
    larger = details() if _contains(laid) and not is_drawing(laid) else None
    if larger is None:
        return None
    matrix = rescale(matrix, (picture, other), larger)
    closer = lay(*larger, matrix)
    if closer is None or (overlaid := find_overlay(closer)) is None:
        return None
    return _describe(closer, matrix, compare_colours(closer), overlaid=overlaid)


def _describe(laid: Laid, matrix: Affine, colours: Colours, *, overlaid: int | None) -> Match:
    mirrored = bool(np.linalg.det(matrix[:, :2]) < 0)
    turn = matrix[:, :2] @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    (framed, plain), (other_framed, other_plain) = (_look_around(laid, side) for side in (0, 1))
    return Match(
        shares=(min(1.0, laid.shares[0]), min(1.0, laid.shares[1])),
        framed=(framed, other_framed),
        plain=(plain, other_plain),
        mirrored=mirrored,
        degrees=abs(math.degrees(math.atan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1]))),
        grey=colours.grey,
        recoloured=colours.changed and overlaid is None,
        clipped=colours.clipped if overlaid is None else (False, False),
        overlaid=overlaid,
    )

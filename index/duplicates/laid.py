"""One picture laid on another by an affine map: the pixels of both where they overlap, and what lies outside."""

import dataclasses
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from frieze.core import Floats
from frieze.indexing.duplicates.alignment import Picture, invert, map_corners
from frieze.indexing.duplicates.local_features import Affine, Pixels

_EDGE = 5  # pixels: the overlap's edge is left out, half of it
_MAX_SCALE = 30.0  # between two copies
_MIN_SHARE = 0.8  # of one of two copies that the other one shows
_SHARP = 0.9  # scale down to which nothing is blurred first
_INSIDE = 252  # of 255: of a pixel's surroundings so much lies inside

_Values = TypeVar("_Values", Pixels, Floats)
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Laid:
    """A picture laid on another, in the pixels of the coarser one.

    Attributes:
        first: uint8 [H, W, 3], the picture.
        second: uint8 [H, W, 3], the other one as it lies on it.
        mask: bool [H, W]: where both are.
        shares: The overlap as a share of the picture, and of the other one.
        sources: Each of the two with the other one, and the map of that onto it.
    """

    first: Pixels
    second: Pixels
    mask: Mask
    shares: tuple[float, float]
    sources: tuple[tuple[Picture, Picture, Affine], tuple[Picture, Picture, Affine]]

    def swapped(self) -> "Laid":
        """Return the same with first and second exchanged."""
        return Laid(self.second, self.first, self.mask, self.shares[::-1], self.sources[::-1])


def lay(picture: Picture, other: Picture, matrix: Affine) -> Laid | None:
    """Lay one picture on another.

    Args:
        picture: A picture.
        other: Another one.
        matrix: Maps the other onto the picture.

    Returns:
        None where neither lies for the most part within the other.
    """
    scale = abs(np.linalg.det(matrix[:, :2])) ** 0.5
    if not 1 / _MAX_SCALE < scale < _MAX_SCALE:
        return None
    shares, inverse = _overlap_shares(picture, other, matrix), invert(matrix)
    if max(shares) < _MIN_SHARE:
        return None
    if scale <= 1:
        first, (second, mask) = picture.rgb, _warp(other, matrix, picture, scale)
    else:
        second, (first, mask) = other.rgb, _warp(picture, inverse, other, 1 / scale)
    if not mask.any():
        return None
    return Laid(first, second, mask, shares, ((picture, other, matrix), (other, picture, inverse)))


def _warp(source: Picture, matrix: Affine, target: Picture, scale: float) -> tuple[Pixels, Mask]:
    """Return a picture in the pixels of another, and where it is."""
    import cv2

    warped = cv2.warpAffine(
        soften(source.rgb, scale), matrix, (target.width, target.height), borderMode=cv2.BORDER_REPLICATE
    )
    return warped, cv2.erode(_cover(source, matrix, target), np.ones((_EDGE, _EDGE), np.uint8)) > 0


def soften(pixels: _Values, scale: float) -> _Values:
    """Blur pixels that are about to be made smaller by a factor."""
    import cv2

    if scale > _SHARP:
        return pixels
    blurred: _Values = cv2.GaussianBlur(pixels, (0, 0), 0.5 * (max(scale, 1 / _MAX_SCALE) ** -2 - 1) ** 0.5)
    return blurred


def outside(picture: Picture, other: Picture, matrix: Affine) -> tuple[Pixels, float]:
    """Look at the part of a picture on which another one does not lie.

    Returns:
        Its colours, uint8 [n, 3]; and the step across its inner edge: the mean difference in levels between what is
        just outside and the edge of what lies inside.
    """
    import cv2

    cover = _cover(other, matrix, picture)
    near, nearer = (cv2.dilate(cover, np.ones((side, side), np.uint8)) for side in (7, 3))
    ring = (near > 0) & (nearer == 0)
    size = (picture.width, picture.height)
    extended = cv2.warpAffine(other.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    step = np.abs(extended[ring].astype(np.int16) - picture.rgb[ring])
    return picture.rgb[nearer == 0], float(step.mean()) if ring.any() else 0.0


def _cover(source: Picture, matrix: Affine, target: Picture) -> Pixels:
    """Return 1 where a picture lies on another, uint8 [H, W]."""
    import cv2

    inside = cv2.warpAffine(
        np.full((source.height, source.width), 255, np.uint8),
        matrix,
        (target.width, target.height),
        flags=cv2.INTER_LINEAR,
    )
    cover: Pixels = (inside > _INSIDE).astype(np.uint8)
    return cover


def _overlap_shares(picture: Picture, other: Picture, matrix: Affine) -> tuple[float, float]:
    """Return the overlap's share of the picture, and of the other one."""
    import cv2

    corners = map_corners(other, matrix)
    frame = map_corners(picture, np.eye(2, 3))
    overlap, _ = cv2.intersectConvexConvex(frame, corners)
    area = abs(cv2.contourArea(corners))
    return overlap / (picture.width * picture.height), overlap / max(area, 1e-6)


def to_luma(rgb: Pixels) -> Floats:
    """Return the luma of pixels, float32 [H, W], in levels."""
    import cv2

    grey: Floats = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey

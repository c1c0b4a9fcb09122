"""How well two pictures agree once one is laid on the other: by what is seen in small, pixel by pixel."""

import dataclasses
import functools
import itertools

import numpy as np
import numpy.typing as npt

from frieze.core import Floats
from frieze.indexing.duplicates.alignment import Affine, Picture, Pixels, invert, map_corners

_WINDOW = 9  # pixels: side of the neighbourhoods whose correlation is taken
_SMOOTHING = 0.9  # standard deviation in pixels: what compression and resampling leave behind
_CONTRAST = 3.0  # levels: standard deviation of a neighbourhood that shows something
_WEIGHT_LEVELS = 20.0  # contrast from which a neighbourhood counts in full
_DIFFERENT = 0.4  # correlation below which a neighbourhood shows something else
_MAX_SCALE = 30.0  # between two copies
_SHARP = 0.9  # scale down to which nothing is blurred first
_INSIDE = 252  # of 255: of a pixel's surroundings so much lies inside
_SHIFT = 14.0  # levels, in the mean of a neighbourhood
_EDGE = 5  # pixels: the overlap's edge is left out, half of it
_OUTLIER = 30.0  # levels: pixels that differ by more do not decide on colours
_N_FITTED = 4_000  # pixels that decide on colours
_DEGREE = 3
_RIDGE = 1e-6
_MIN_COVERED = 0.3  # of a neighbourhood: less says nothing

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How a picture laid on another agrees with it.

    Attributes:
        correlation: Mean correlation of the neighbourhoods that show something, by contrast; -1 to 1.
        different: Share of them that shows something else in the two pictures.
        shifted: Share of the overlap whose level differs in the large.
        n_textured: Number of pixels whose neighbourhood shows something.
        textured: These as a share of the overlap.
    """

    correlation: float
    different: float
    shifted: float
    n_textured: int
    textured: float


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
        None where they hardly overlap.
    """
    scale = abs(np.linalg.det(matrix[:, :2])) ** 0.5
    if not 1 / _MAX_SCALE < scale < _MAX_SCALE:
        return None
    shares, inverse = _overlap_shares(picture, other, matrix), invert(matrix)
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

    rgb = source.rgb if scale > _SHARP else cv2.GaussianBlur(source.rgb, (0, 0), 0.5 * (1 / scale**2 - 1) ** 0.5)
    warped = cv2.warpAffine(
        rgb, matrix, (target.width, target.height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped, cv2.erode(_cover(source, matrix, target), np.ones((_EDGE, _EDGE), np.uint8)) > 0


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
        np.full(source.grey.shape, 255, np.uint8), matrix, (target.width, target.height), flags=cv2.INTER_LINEAR
    )
    cover: Pixels = (inside > _INSIDE).astype(np.uint8)
    return cover


def measure_agreement(laid: Laid, *, recoloured: bool = False) -> Agreement:
    """Compare two pictures that lie on each other by their luma.

    Args:
        laid: The two.
        recoloured: First bring the colours of the second to the luma of the first by one function for all pixels.
    """
    first, second = match_colours(laid) if recoloured else (to_luma(laid.first), to_luma(laid.second))
    shifted = _shifted_share(first, second, laid.mask)
    correlation, contrast, covered = _local_correlation(_smooth(first), _smooth(second), laid.mask)
    textured = laid.mask & covered & (contrast > _CONTRAST)
    n_textured = int(textured.sum())
    if not n_textured:
        return Agreement(0.0, 1.0, shifted, 0, 0.0)
    weights = np.minimum(contrast[textured] / _WEIGHT_LEVELS, 1)
    weights /= weights.sum()
    values = correlation[textured]
    different = float(weights[values < _DIFFERENT].sum())
    return Agreement(float(values @ weights), different, shifted, n_textured, n_textured / int(laid.mask.sum()))


def _shifted_share(first: Floats, second: Floats, mask: Mask) -> float:
    """Return the share of the overlap whose level differs, once the second has the mean and contrast of the first."""
    import cv2

    a, b = first[mask], second[mask]
    gain = float(a.std()) / max(float(b.std()), 1.0)
    difference = cv2.blur(first - a.mean() - gain * (second - b.mean()), (_WINDOW, _WINDOW))
    inside = cv2.erode(mask.astype(np.uint8), np.ones((_WINDOW, _WINDOW), np.uint8)) > 0
    return float((np.abs(difference[inside]) > _SHIFT).mean()) if inside.any() else 0.0


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


def _smooth(grey: Floats) -> Floats:
    import cv2

    smooth: Floats = cv2.GaussianBlur(grey, (0, 0), _SMOOTHING)
    return smooth


def match_colours(laid: Laid) -> tuple[Floats, Floats]:
    """Fit the luma of the first picture to the colours of the second, by one polynomial of degree 2 for all pixels.

    Returns:
        The first's luma and the fitted one, both float32 [H, W].
    """
    luma = to_luma(laid.first)
    red, green, blue = np.moveaxis(laid.second.astype(np.float32) / 255, -1, 0)
    channels = [red, green, blue]
    products = [
        functools.reduce(np.multiply, factors)
        for degree in range(1, _DEGREE + 1)
        for factors in itertools.combinations_with_replacement(channels, degree)
    ]
    terms = np.stack([np.ones_like(red), *products]).reshape(len(products) + 1, -1)
    inside = np.flatnonzero(laid.mask.ravel())
    inside = inside[:: max(1, len(inside) // _N_FITTED)]
    weights = _fit(terms[:, inside], luma.ravel()[inside])
    near = inside[np.abs(weights @ terms[:, inside] - luma.ravel()[inside]) < _OUTLIER]
    if len(near) > len(inside) // 2:
        weights = _fit(terms[:, near], luma.ravel()[near])
    fitted: Floats = (weights @ terms).reshape(luma.shape).astype(np.float32)
    return luma, fitted


def _fit(terms: Floats, luma: Floats) -> Floats:
    weights: Floats = np.linalg.solve(terms @ terms.T + _RIDGE * len(luma) * np.eye(len(terms)), terms @ luma)
    return weights


def _local_correlation(first: Floats, second: Floats, mask: Mask) -> tuple[Floats, Floats, Mask]:
    """Return the correlation of each neighbourhood, the larger of the two contrasts, and where they say something."""
    import cv2

    inside = mask.astype(np.float32)
    first, second = first * inside, second * inside

    def mean(values: Floats) -> Floats:
        sums: Floats = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
        means: Floats = sums / np.maximum(coverage, 1e-3)
        return means

    coverage = cv2.boxFilter(inside, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
    first_mean, second_mean = mean(first), mean(second)
    first_variance = np.maximum(mean(first * first) - first_mean**2, 0)
    second_variance = np.maximum(mean(second * second) - second_mean**2, 0)
    covariance = mean(first * second) - first_mean * second_mean
    correlation: Floats = covariance / np.sqrt(first_variance * second_variance + 1.0)
    contrast: Floats = np.sqrt(np.maximum(first_variance, second_variance))
    return correlation, contrast, coverage > _MIN_COVERED

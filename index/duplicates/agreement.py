"""How well two pictures agree once one is laid on the other: by what is seen in small, pixel by pixel."""

import dataclasses

import numpy as np

from frieze.core import Floats
from frieze.indexing.duplicates.alignment import Affine, Picture, invert
from frieze.indexing.duplicates.colours import match_colours
from frieze.indexing.duplicates.laid import Laid, Mask, soften, to_luma

_WINDOW = 9  # pixels: side of the neighbourhoods whose correlation is taken
_SMOOTHING = 0.9  # standard deviation in pixels: what compression and resampling leave behind
_CONTRAST = 3.0  # levels: standard deviation of a neighbourhood that shows something
_WEIGHT_LEVELS = 20.0  # contrast from which a neighbourhood counts in full
_DIFFERENT = 0.4  # correlation below which a neighbourhood shows something else
_CHANGED = 25.0  # levels
_SHIFT = 14.0  # levels, in the mean of a neighbourhood
_PATCH_DIFFERENT, _PATCH_CONTRAST, _PATCH_WIDTH = 0.7, 20.0, 4  # the same for a patch: correlation, levels, pixels
UNRELATED = 0.5
"""Correlation below which no change of colours, and no text laid over it, can be the reason."""
_OUTSIDE = -1e6  # a level that no mean with pixels of a picture hides
_MIN_COVERED = 0.3  # of a neighbourhood: less says nothing


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How a picture laid on another agrees with it.

    Attributes:
        correlation: Mean correlation of the neighbourhoods that show something, by contrast; -1 to 1.
        different: Share of them that shows something else in the two pictures.
        shifted: Share of the overlap whose level differs in the large.
        n_textured: Number of pixels whose neighbourhood shows something.
        textured: These as a share of the overlap.
        patch: Number of pixels of the largest patch that shows something else: other words, another object.
        changed: Number of pixels that differ as they are, as a share of `n_textured`.
    """

    correlation: float
    different: float
    shifted: float
    n_textured: int
    textured: float
    patch: int
    changed: float = 0.0


NO_AGREEMENT = Agreement(0.0, 1.0, 1.0, 0, 0.0, 0)
"""Of pictures that are unrelated as they lie; but for the correlation nothing else of them is measured."""


def measure_agreement(laid: Laid, *, recoloured: bool = False) -> Agreement:
    """Compare two pictures that lie on each other by their luma.

    Args:
        laid: The two.
        recoloured: First bring the colours of the second to the luma of the first by one function for all pixels.
    """
    first, second = match_colours(laid) if recoloured else (to_luma(laid.first), to_luma(laid.second))
    correlation, contrast, covered = _local_correlation(_smooth(first), _smooth(second), laid.mask)
    textured = laid.mask & covered & (contrast > _CONTRAST)
    n_textured = int(textured.sum())
    if not n_textured:
        return NO_AGREEMENT
    weights = np.minimum(contrast[textured] / _WEIGHT_LEVELS, 1)
    weights /= weights.sum()
    values = correlation[textured]
    mean = float(weights @ values)
    if mean < UNRELATED:
        return dataclasses.replace(NO_AGREEMENT, correlation=mean)
    different = float(weights[values < _DIFFERENT].sum())
    shifted = _shifted_share(first, second, laid.mask)
    patch = _largest_patch(textured & (contrast > _PATCH_CONTRAST) & (correlation < _PATCH_DIFFERENT))
    share = n_textured / int(laid.mask.sum())
    changed = int((laid.mask & (np.abs(_smooth(first - second)) > _CHANGED)).sum()) / n_textured
    return Agreement(mean, different, shifted, n_textured, share, patch, changed)


def estimate_correlation(picture: Picture, other: Picture, matrix: Affine) -> float:
    """Estimate the correlation of two pictures where one lies on the other, by 64 pixels of each.

    Returns:
        From -1 to 1; 1 where they show too little in so few pixels to tell.
    """
    import cv2

    if abs(np.linalg.det(matrix[:, :2])) > 1:
        return estimate_correlation(other, picture, invert(matrix))
    first, second = picture.tiny, other.tiny
    onto, of = (np.divide(one.tiny.shape[::-1], (one.width, one.height)) for one in (picture, other))
    turn = matrix[:, :2] / of * onto[:, None]
    shift = (matrix[:, 2] + 0.5 - matrix[:, :2].sum(axis=1) / 2) * onto - 0.5 + turn.sum(axis=1) / 2
    second = soften(second, abs(np.linalg.det(turn)) ** 0.5)
    laid = cv2.warpAffine(second, np.column_stack([turn, shift]), first.shape[::-1], borderValue=_OUTSIDE)
    mask = laid >= 0
    correlation, contrast, _ = _local_correlation(first, laid, mask)
    weights = np.minimum(contrast, _WEIGHT_LEVELS) * mask
    total = float(weights.sum())
    return float((correlation * weights).sum()) / total if total > _CONTRAST * mask.sum() else 1.0


def _largest_patch(different: Mask) -> int:
    """Return the pixels of the largest part; what is narrow, as along the edges of a frame, does not count."""
    import cv2

    wide = cv2.morphologyEx(different.astype(np.uint8), cv2.MORPH_OPEN, np.ones((_PATCH_WIDTH,) * 2, np.uint8))
    sizes = cv2.connectedComponentsWithStats(wide)[2][1:, cv2.CC_STAT_AREA]
    return int(sizes.max(initial=0))


def _shifted_share(first: Floats, second: Floats, mask: Mask) -> float:
    """Return the share of the overlap whose level differs, once the second has the mean and contrast of the first."""
    import cv2

    a, b = first[mask], second[mask]
    gain = float(a.std()) / max(float(b.std()), 1.0)
    difference = cv2.blur(first - a.mean() - gain * (second - b.mean()), (_WINDOW, _WINDOW))
    inside = cv2.erode(mask.astype(np.uint8), np.ones((_WINDOW, _WINDOW), np.uint8)) > 0
    return float((np.abs(difference[inside]) > _SHIFT).mean()) if inside.any() else 0.0


def _smooth(grey: Floats) -> Floats:
    import cv2

    smooth: Floats = cv2.GaussianBlur(grey, (0, 0), _SMOOTHING)
    return smooth


def _local_correlation(first: Floats, second: Floats, mask: Mask) -> tuple[Floats, Floats, Mask]:
    """Return the correlation of each neighbourhood, the larger of the two contrasts, and where they say something."""
    import cv2

    inside = mask.astype(np.float32)
    first, second = first * inside, second * inside

    coverage = cv2.boxFilter(inside, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
    divisors = np.maximum(coverage, 1e-3)

    def mean(values: Floats) -> Floats:
        means: Floats = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
        means /= divisors
        return means

    first_mean, second_mean = mean(first), mean(second)
    first_variance = np.maximum(mean(first * first) - first_mean**2, 0)
    second_variance = np.maximum(mean(second * second) - second_mean**2, 0)
    covariance = mean(first * second) - first_mean * second_mean
    correlation: Floats = covariance / np.sqrt(first_variance * second_variance + 1.0)
    contrast: Floats = np.sqrt(np.maximum(first_variance, second_variance))
    return correlation, contrast, coverage > _MIN_COVERED

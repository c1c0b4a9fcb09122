"""How well two pictures agree once one is laid on the other: by what is seen in small, pixel by pixel."""

import dataclasses
import math
import sys
from typing import NamedTuple

import numpy as np

from frieze.core import Floats
from frieze.indexing.duplicates.alignment import Picture, invert
from frieze.indexing.duplicates.colours import match_colours
from frieze.indexing.duplicates.laid import Laid, Mask, soften, to_luma
from frieze.indexing.duplicates.local_features import Affine

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
MIN_TEXTURED = 400
"""Pixels that show something: with fewer a picture is too smooth to decide on."""
_MIN_CORRELATION, _MAX_DIFFERENT = 0.95, 0.008  # of copies
_MAX_SHIFTED = 0.02  # of the overlap: smooth parts of other pictures have other levels
_MAX_PATCH = 45  # pixels of a part that shows something else; copies by the benchmark's edits have 36 at most
_OUTSIDE = -1e6  # a level that no mean with pixels of a picture hides
_MIN_COVERED = 0.3  # of a neighbourhood: less says nothing


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How a picture laid on another agrees with it.

    Attributes:
        correlation: Mean correlation of the neighbourhoods that show something, by contrast; -1 to 1.
        different: Share of them that shows something else in the two pictures.
        n_textured: Number of pixels whose neighbourhood shows something.
        textured: These as a share of the overlap.
        shifted: Share of the overlap whose level differs in the large.
        patch: Number of pixels of the largest patch that shows something else: other words, another object.
        changed: Number of pixels that differ as they are, as a share of `n_textured`.

    The last three are measured only where all others are those of copies; else they have their worst values.
    """

    correlation: float
    different: float = 1.0
    n_textured: int = 0
    textured: float = 0.0
    shifted: float = 1.0
    patch: int = sys.maxsize
    changed: float = math.inf

    @property
    def is_clear(self) -> bool:
        """Whether the pictures are the same, but for what compression leaves behind."""
        return self.may_be_clear and self.shifted <= _MAX_SHIFTED and self.patch <= _MAX_PATCH

    @property
    def may_be_clear(self) -> bool:
        """Whether all that is measured first is that of copies."""
        return (
            self.correlation >= _MIN_CORRELATION
            and self.different <= _MAX_DIFFERENT
            and self.n_textured >= MIN_TEXTURED
        )


def measure_agreement(laid: Laid) -> Agreement:
    """Compare two pictures that lie on each other by their luma: as it is, or after the colours were matched.

    Returns:
        The better of these; of pictures that are unrelated as they lie the correlation alone.
    """
    around = _Neighbourhoods(laid.mask)
    first, second = (around.describe(to_luma(pixels)) for pixels in (laid.first, laid.second))
    best = _compare(around, first, second)
    if best.is_clear or best.correlation < UNRELATED:
        return best
    for side, laid_side in ((first, laid), (second, laid.swapped())):
        matched = around.describe(match_colours(laid_side, side.levels))
        best = _compare(around, side, matched, better_than=best)
    return best


class _Side(NamedTuple):
    """The levels of a picture, and what is known of their neighbourhoods; all float32 [H, W].

    Attributes:
        levels: Luma.
        smooth: The same without noise; 0 outside of the overlap.
        mean: Of each neighbourhood.
        variance: Of each neighbourhood.
    """

    levels: Floats
    smooth: Floats
    mean: Floats
    variance: Floats


class _Neighbourhoods:
    """The surroundings of each pixel of an overlap, as far as they belong to it.

    Attributes:
        mask: bool [H, W]: the overlap.
        say_something: bool [H, W]: the pixels of the overlap around which enough of it lies.
    """

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self._inside = mask.astype(np.float32)
        coverage = _sum_around(self._inside)
        self._divisors = np.maximum(coverage, 1e-3)
        self.say_something = mask & (coverage > _MIN_COVERED)

    def describe(self, levels: Floats, *, is_smooth: bool = False) -> _Side:
        """Compute means and variances of levels, float32 [H, W]."""
        smooth = (levels if is_smooth else _smooth(levels)) * self._inside
        mean = self._mean(smooth)
        return _Side(levels, smooth, mean, np.maximum(self._mean(smooth * smooth) - mean * mean, 0))

    def correlate(self, first: _Side, second: _Side) -> tuple[Floats, Floats]:
        """Return the correlation of each neighbourhood, and the larger of the two contrasts."""
        covariance = self._mean(first.smooth * second.smooth) - first.mean * second.mean
        correlation: Floats = covariance / np.sqrt(first.variance * second.variance + 1.0)
        return correlation, np.sqrt(np.maximum(first.variance, second.variance))

    def _mean(self, values: Floats) -> Floats:
        means = _sum_around(values)
        means /= self._divisors
        return means


def _compare(around: _Neighbourhoods, first: _Side, second: _Side, better_than: Agreement | None = None) -> Agreement:
    """Measure how two sides agree; or return another agreement whose correlation is not below theirs."""
    correlation, contrast = around.correlate(first, second)
    textured = around.say_something & (contrast > _CONTRAST)
    n_textured = int(np.count_nonzero(textured))
    if not n_textured:
        return better_than or Agreement(0.0)
    weights = np.minimum(contrast[textured] / _WEIGHT_LEVELS, 1)
    weights /= weights.sum()
    values = correlation[textured]
    mean = float(weights @ values)
    if better_than is not None and mean <= better_than.correlation:
        return better_than
    if mean < UNRELATED:
        return Agreement(mean)
    different = float(weights[values < _DIFFERENT].sum())
    agreement = Agreement(mean, different, n_textured, n_textured / int(np.count_nonzero(around.mask)))
    if not agreement.may_be_clear:
        return agreement
    difference = _smooth(first.levels - second.levels)
    changed = int(np.count_nonzero(around.mask & (np.abs(difference) > _CHANGED)))
    return dataclasses.replace(
        agreement,
        shifted=_shifted_share(first.levels, second.levels, around.mask),
        patch=_largest_patch(textured & (contrast > _PATCH_CONTRAST) & (correlation < _PATCH_DIFFERENT)),
        changed=changed / n_textured,
    )


def estimate_correlation(picture: Picture, other: Picture, matrix: Affine) -> float:
    """Estimate the correlation of two pictures where one lies on the other, by 64 pixels of each.

    Returns:
        From -1 to 1; 1 where they show too little in so few pixels to tell.
    """
    import cv2

    if abs(np.linalg.det(matrix[:, :2])) > 1:
        return estimate_correlation(other, picture, invert(matrix))
    first, second = (one.tiny.astype(np.float32) for one in (picture, other))
    onto, of = (np.divide(one.tiny.shape[::-1], (one.width, one.height)) for one in (picture, other))
    turn = matrix[:, :2] / of * onto[:, None]
    shift = (matrix[:, 2] + 0.5 - matrix[:, :2].sum(axis=1) / 2) * onto - 0.5 + turn.sum(axis=1) / 2
    second = soften(second, abs(np.linalg.det(turn)) ** 0.5)
    laid = cv2.warpAffine(second, np.column_stack([turn, shift]), first.shape[::-1], borderValue=_OUTSIDE)
    mask = laid >= 0
    around = _Neighbourhoods(mask)
    correlation, contrast = around.correlate(*(around.describe(side, is_smooth=True) for side in (first, laid)))
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


def _smooth(levels: Floats) -> Floats:
    import cv2

    smooth: Floats = cv2.GaussianBlur(levels, (0, 0), _SMOOTHING)
    return smooth


def _sum_around(values: Floats) -> Floats:
    """Return the mean of each neighbourhood; 0 counts for what lies outside of the picture."""
    import cv2

    means: Floats = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
    return means

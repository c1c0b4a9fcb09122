"""Is what differs between two aligned pictures laid over one of them: a text, a mark, a banner?"""

import numpy as np

from frieze.core import Floats
from frieze.indexing.duplicates.colours import few_colours_share, has_plain_ground, match_colours
from frieze.indexing.duplicates.laid import Laid, Mask, to_luma

_CHANGED = 22  # levels of luma
_NEAR_CHANGE = 9  # pixels: what differs is left out so far around each change
_STROKE = 0.055  # of the mean side: the widest stroke of a letter
_MAX_CHANGED = 0.4  # of the overlap, with what is near a change; texts over photographs have .26, cards .43
_MAX_THICK = 0.3  # of the changed pixels, in wider strokes
_MIN_STROKES, _MIN_STROKE_PX = 8, 12  # letters or parts of them, of so many pixels
_MAX_OF_ONE = 0.45  # of the changed pixels, in the largest of them
_MAX_BETWEEN = 7.0  # levels: median difference between the strokes
_MIN_ONE_SIDED = 0.83  # of the outlines of what changed are the edges of one of the pictures; of two cards .829 were
_MIN_REST = 0.98  # correlation of all that is not near a change; of texts .989 and more, of two cards .974
_MIN_FLAT = 0.85  # of the pixels of a drawing have few colours


def find_overlay(laid: Laid) -> int | None:
    """Tell over which of two aligned pictures something was laid.

    A text over a photograph has thin strokes, several of them, with nothing changed between them, and has its outlines
    in one picture alone. An object that has moved is not thin, and at its two places different pictures show it.

    Args:
        laid: The two at a resolution at which a text can be read.

    Returns:
        0 for the first, 1 for the second; None if all is explained otherwise or not at all.
    """
    first = to_luma(laid.first)
    overlay = _find(laid, first, to_luma(laid.second))
    return overlay if overlay is not None else _find(laid, first, match_colours(laid, first))


def is_drawing(laid: Laid) -> bool:
    """Tell whether one of two aligned pictures is a drawing, as a chess board: of these the strokes are the content."""
    sides = (laid.first, laid.second)
    return has_plain_ground(laid) or any(few_colours_share(side[laid.mask]) >= _MIN_FLAT for side in sides)


def _find(laid: Laid, first: Floats, second: Floats) -> int | None:
    import cv2

    changed = laid.mask & (np.abs(cv2.GaussianBlur(first - second, (0, 0), 0.7)) > _CHANGED)
    near = cv2.dilate(changed.astype(np.uint8), np.ones((_NEAR_CHANGE,) * 2, np.uint8)) > 0
    if not changed.any() or (near & laid.mask).sum() > _MAX_CHANGED * laid.mask.sum():
        return None
    if _correlation(first, second, laid.mask & ~near) < _MIN_REST:
        return None
    return _find_strokes(first, second, changed)


def _correlation(first: Floats, second: Floats, mask: Mask) -> float:
    return float(np.corrcoef(first[mask], second[mask])[0, 1]) if mask.sum() > 1 else 0.0


def _find_strokes(first: Floats, second: Floats, changed: Mask) -> int | None:
    import cv2

    side = max(3, round(_STROKE * (changed.shape[0] * changed.shape[1]) ** 0.5))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    thick = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    sizes = cv2.connectedComponentsWithStats(changed.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    n_strokes = (sizes >= _MIN_STROKE_PX).sum()
    if n_strokes < _MIN_STROKES or max(sizes.max() / _MAX_OF_ONE, thick.sum() / _MAX_THICK) > sizes.sum():
        return None
    between = cv2.dilate(changed.astype(np.uint8), np.ones((9, 9), np.uint8)) > cv2.dilate(
        changed.astype(np.uint8), np.ones((5, 5), np.uint8)
    )
    if between.any() and np.median(np.abs(first - second)[between]) > _MAX_BETWEEN:
        return None
    outline = changed & (cv2.erode(changed.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    more = (_gradient(second) > _gradient(first))[outline].mean()
    if more >= _MIN_ONE_SIDED:
        return 1
    return 0 if more <= 1 - _MIN_ONE_SIDED else None


def _gradient(grey: Floats) -> Floats:
    import cv2

    length: Floats = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    return length

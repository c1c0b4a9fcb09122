"""How one picture may lie on another: maps by the whole, by the part inside of borders, by local features."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from frieze.core import Floats
from frieze.indexing.duplicates.local_features import (
    Affine,
    Features,
    Pixels,
    find_features,
    fit_map,
    have_enough,
    may_match,
    mirror_features,
)

_TINY_PX = 64
_GRID = 16  # side of the small pictures that are compared in eight orientations
_MIN_CORRELATION = 0.74  # of two small pictures, for their orientation to be tried; copies have .768 and more
_FLAT_LEVELS, _FLAT_SHARE = 8, 0.95  # a row or column of a border: so many of its pixels near its median
_STEP = 3  # of these each third pixel is looked at
_MIN_SIDE = 0.25  # of a picture, inside its border
_REFINEMENTS = 20
_SEARCHED, _APART, _REPEATED = 32, 0.5, 0.9  # cells a side; correlation between, and at, repetitions

_ORIENTATIONS: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((1, 0, 0), (0, 1, 0)),
    ((-1, 0, 1), (0, 1, 0)),
    ((1, 0, 0), (0, -1, 1)),
    ((-1, 0, 1), (0, -1, 1)),
    ((0, 1, 0), (1, 0, 0)),
    ((0, -1, 1), (1, 0, 0)),
    ((0, 1, 0), (-1, 0, 1)),
    ((0, -1, 1), (-1, 0, 1)),
)
"""Maps of the unit square to itself: mirrors and quarter turns."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class Picture:
    """A small picture and what comparisons need of it, computed once.

    Args:
        rgb: uint8 [H, W, 3].

    Attributes:
        grey: uint8 [H, W].
        tiny: The grey picture in 64 pixels, uint8 [h, w]: enough to tell that most maps don't hold.
        boxes: The whole picture, and the part inside its flat borders where there are some.
        grids: float32 [n, 256]: each box as a small picture of mean 0 and length 1.
        oriented_grids: float32 [n, 8, 256]: `grids` in the eight orientations.
    """

    def __init__(self, rgb: Pixels) -> None:
        import cv2

        self.rgb = rgb
        grey = self.grey
        self.height, self.width = grey.shape
        size = [max(1, round(_TINY_PX * side / max(rgb.shape))) for side in (self.width, self.height)]
        self.tiny: Pixels = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        whole, inner = Box(0, 0, self.width, self.height), _inside_borders(grey)
        self.boxes = [whole] if inner == whole else [whole, inner]
        self.grids = np.stack([_to_grid(grey[box.top : box.bottom, box.left : box.right]) for box in self.boxes])
        self.oriented_grids = _orient(self.grids)
        self._features: dict[tuple[bool, bool], Features] = {}
        self._is_periodic: bool | None = None

    @property
    def grey(self) -> Pixels:
        """The grey picture, which is quickly made of the colours: it would take a fifth of a picture's memory."""
        import cv2

        grey: Pixels = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)
        return grey

    @property
    def is_periodic(self) -> bool:
        """Whether the picture repeats itself, so that it lies on itself in several places."""
        if self._is_periodic is None:  # most pictures are never asked
            self._is_periodic = _repeats(self.grey)
        return self._is_periodic

    def features(self, *, mirrored: bool = False, few: bool = False) -> Features:
        """Return local features of the picture, or of its mirror image; all of them, or few."""
        if (mirrored, few) not in self._features:  # threads that ask at once compute the same
            self._features[mirrored, few] = self._find_features(mirrored=mirrored, few=few)
        return self._features[mirrored, few]

    def _find_features(self, *, mirrored: bool, few: bool) -> Features:
        if mirrored:
            return mirror_features(self.grey, self.features(few=few))
        return self.features().few() if few else find_features(self.grey)


def guess_alignments(picture: Picture, other: Picture, *, by_features: bool) -> Iterator[Affine]:
    """Yield maps of `other` onto `picture` that may hold, the cheapest to find first.

    Args:
        picture: A picture.
        other: Another one.
        by_features: Whether to look for cropped copies, and for those turned by any angle, by their local features.
    """
    if picture.is_periodic and other.is_periodic:
        yield _map_box(other.boxes[0], picture.boxes[0], 0)  # any other map could be one of many
        return
    yield from _by_orientation(picture, other)
    for mirrored in (False, True) if by_features else ():
        matrix = _by_features(picture, other, mirrored=mirrored)
        if matrix is not None:
            yield matrix


def invert(matrix: Affine) -> Affine:
    """Return the inverse of a map."""
    import cv2

    inverse: Affine = cv2.invertAffineTransform(matrix)
    return inverse


def rescale(matrix: Affine, pictures: tuple[Picture, Picture], larger: tuple[Picture, Picture]) -> Affine:
    """Return the map of the second of two larger pictures onto the first, given that of the small ones."""
    from_small = _map_box(pictures[0].boxes[0], larger[0].boxes[0], 0)
    to_small = _map_box(larger[1].boxes[0], pictures[1].boxes[0], 0)
    steps = [np.vstack([step, (0, 0, 1)]) for step in (from_small, matrix, to_small)]
    rescaled: Affine = (steps[0] @ steps[1] @ steps[2])[:2]
    return rescaled


def refine(picture: Picture, other: Picture, matrix: Affine) -> Affine:
    """Refine a map until the pictures correlate best; return it as it was where that fails.

    Source: the enhanced correlation coefficient, Evangelidis and Psarakis, PAMI 2008.
    """
    import cv2

    if abs(np.linalg.det(matrix[:, :2])) > 1:
        return invert(refine(other, picture, invert(matrix)))
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _REFINEMENTS, 1e-4)
    start = invert(matrix).astype(np.float32)
    try:
        _, refined = cv2.findTransformECC(
            picture.grey, other.grey, start, cv2.MOTION_AFFINE, steps, inputMask=None, gaussFiltSize=5
        )
    except cv2.error:  # no overlap is left, or nothing to correlate
        return matrix
    return invert(refined.astype(np.float64))


def map_corners(picture: Picture, matrix: Affine) -> Floats:
    """Return where the corners of a picture go, float32 [4, 2]."""
    width, height = picture.width - 0.5, picture.height - 0.5
    corners = np.array([(-0.5, -0.5, 1), (width, -0.5, 1), (width, height, 1), (-0.5, height, 1)])
    return (corners @ matrix.T).astype(np.float32)


def _by_orientation(picture: Picture, other: Picture) -> Iterator[Affine]:
    """Yield maps of boxes onto boxes whose small pictures agree in an orientation, best first, one for each pair."""
    scores = np.einsum("ag,bog->abo", picture.grids, other.oriented_grids)
    best = scores.max(axis=2)
    for at in np.argsort(-best, axis=None):
        a, b = np.unravel_index(at, best.shape)
        if best[a, b] >= _MIN_CORRELATION:
            yield _map_box(other.boxes[b], picture.boxes[a], int(scores[a, b].argmax()))


def _map_box(source: Box, target: Box, orientation: int) -> Affine:
    """Return the map of one box onto another, turned or mirrored."""
    (width, height), (new_width, new_height) = source.size, target.size
    to_unit = np.array(
        [[1 / width, 0, (0.5 - source.left) / width], [0, 1 / height, (0.5 - source.top) / height], [0, 0, 1]]
    )
    turn = np.array([*_ORIENTATIONS[orientation], (0, 0, 1)])
    from_unit = np.array([[new_width, 0, target.left - 0.5], [0, new_height, target.top - 0.5]])
    matrix: Affine = from_unit @ turn @ to_unit
    return matrix


def _orient(grids: Floats) -> Floats:
    """Return small pictures, float32 [n, 256], in the eight orientations: float32 [n, 8, 256]."""
    squares = grids.reshape(-1, _GRID, _GRID)
    turned = squares.transpose(0, 2, 1)
    flips = [side[:, ::rows, ::columns] for side in (squares, turned) for rows in (1, -1) for columns in (1, -1)]
    return np.stack(flips, axis=1).reshape(len(squares), 8, -1)


def _to_grid(grey: Pixels) -> Floats:
    import cv2

    grid = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    grid -= grid.mean()
    unit: Floats = grid / max(float(np.linalg.norm(grid)), 1e-3)
    return unit


def _repeats(grey: Pixels) -> bool:
    """Look for the middle of a picture elsewhere in it."""
    import cv2

    small = cv2.resize(grey, (2 * _SEARCHED, 2 * _SEARCHED), interpolation=cv2.INTER_AREA)
    quarter = _SEARCHED // 2
    middle = small[quarter:-quarter, quarter:-quarter]
    if middle.std() < 1:
        return False
    similarity = cv2.matchTemplate(small, middle, cv2.TM_CCOEFF_NORMED)
    if np.count_nonzero(similarity >= _REPEATED) == 1:  # the middle itself
        return False
    _, parts = cv2.connectedComponents((similarity > _APART).astype(np.uint8))
    elsewhere = (parts > 0) & (parts != parts[quarter, quarter])
    return bool(elsewhere.any() and similarity[elsewhere].max() >= _REPEATED)


def _inside_borders(grey: Pixels) -> Box:
    """Find the part inside flat borders and bars, as `features/perceptual_hash.py` does."""
    height, width = grey.shape
    if not any(_are_flat(edges).any() for edges in (grey[[0, -1]], grey.T[[0, -1]])):
        return Box(0, 0, width, height)
    top, bottom = _trim(grey)
    left, right = _trim(grey[top:bottom].T)
    if (left, right) != (0, width):  # else the same would be found again
        first, last = _trim(grey[top:bottom, left:right])
        top, bottom = top + first, top + last
        first, last = _trim(grey[top:bottom, left:right].T)
        left, right = left + first, left + last
    if right - left < _MIN_SIDE * width or bottom - top < _MIN_SIDE * height:
        return Box(0, 0, width, height)
    return Box(left, top, right, bottom)


def _trim(rows: Pixels) -> tuple[int, int]:
    """Return the longest run of rows that are not flat, the first and the one after the last; the first row if none."""
    busy = np.zeros(len(rows) + 2, bool)
    busy[1:-1] = ~_are_flat(rows)
    limits = np.flatnonzero(busy[1:] != busy[:-1])
    if not len(limits):
        return 0, 1
    starts, ends = limits[::2], limits[1::2]
    longest = np.argmax(ends - starts)
    return int(starts[longest]), int(ends[longest])


def _are_flat(rows: Pixels) -> npt.NDArray[np.bool_]:
    """Return which rows have one level, nearly; bool [n]."""
    ordered = np.sort(rows[:, ::_STEP].astype(np.int16), axis=1)
    n = ordered.shape[1]
    n_near = math.ceil(_FLAT_SHARE * n)  # those near the median follow each other
    medians = ordered[:, (n - 1) // 2] + ordered[:, n // 2]  # doubled: whole numbers take a third of the time
    lowest, highest = 2 * ordered[:, : n - n_near + 1].T, 2 * ordered[:, n_near - 1 :].T
    is_near = (lowest >= medians - 2 * _FLAT_LEVELS) & (highest <= medians + 2 * _FLAT_LEVELS)
    return np.asarray(is_near.any(axis=0))


def _by_features(picture: Picture, other: Picture, *, mirrored: bool) -> Affine | None:
    """Fit a map to matches of local features: turn, scale and shift, of the mirror image too."""
    features, few = picture.features(), other.features(mirrored=mirrored, few=True)
    if not (have_enough(features, few) and may_match(few, features)):
        return None
    matrix = fit_map(features, other.features(mirrored=mirrored))
    if matrix is None or not mirrored:
        return matrix
    to_mirror = np.array([[-1, 0, other.width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    fitted: Affine = matrix @ to_mirror
    return fitted

"""Local features of pictures, and the maps of one picture onto another that they tell."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows

Pixels = npt.NDArray[np.uint8]
Affine = npt.NDArray[np.float64]
"""float64 [2, 3]: coordinates (x, y, 1) of pixel centres in one picture -> (x, y) in another."""

_N_FEATURES, _SCALE, _N_LEVELS, _PATCH_PX, _MIN_CORNER = 300, 1.25, 8, 19, 5
_N_FEW = 75  # of these, of all levels: enough to tell of most pictures that they are no copies
_MIN_FEW_SURE, _MAX_APART = 2, 15  # sure ones of the few; and degrees between the turns of two features of a copy
_MAX_RATIO, _MAX_BITS = 0.9, 70  # distance of the nearest over that of the second descriptor; and the distance
_SURE_RATIO, _MIN_SURE = 0.7, 4  # such a ratio, and how many have it at least; of copies 8 and more do
_MIN_INLIERS = 7
_INLIER_PX, _MAX_DRAWS = 2.5, 300  # finds a map that one match in six agrees with


class Features(NamedTuple):
    """Local features of a picture.

    Attributes:
        places: Of its keypoints, float32 [n, 2] (x, y).
        angles: In which they point, float32 [n], degrees.
        levels: Of the pyramid, int64 [n]: 0 is the picture itself.
        descriptors: Of 256 bits each, uint8 [n, 32].
    """

    places: Floats
    angles: Floats
    levels: Rows
    descriptors: Pixels

    def few(self) -> "Features":
        """Return some of them, of all levels."""
        n = len(self.places)
        rows = np.linspace(0, n - 1, min(n, _N_FEW)).round().astype(np.int64)
        return Features(self.places[rows], self.angles[rows], self.levels[rows], self.descriptors[rows])


def find_features(grey: Pixels) -> Features:
    """Find the features of a picture, uint8 [H, W].

    Source: ORB, Rublee et al., ICCV 2011.
    """
    if min(grey.shape) < _PATCH_PX:  # no patch fits in; OpenCV would raise on a picture of one line
        return _to_features((), None)
    return _to_features(*_detector().detectAndCompute(grey, None))


def mirror_features(grey: Pixels, features: Features) -> Features:
    """Return features of a picture as its mirror image has them: at the same places, but other descriptors."""
    import cv2

    if not len(features.places):
        return features
    scales = _SCALE ** np.arange(_N_LEVELS)
    lasts = ((np.rint(grey.shape[1] / scales) - 1) * scales).tolist()  # the last whole pixel of each level
    sizes = (_PATCH_PX * scales).tolist()
    mirrored = [
        cv2.KeyPoint(lasts[level] - x, y, sizes[level], 180 - angle, 0, level)
        for (x, y), angle, level in zip(*(values.tolist() for values in features[:3]), strict=True)
    ]
    return _to_features(*_detector().compute(np.ascontiguousarray(grey[:, ::-1]), mirrored))


def may_match(few: Features, others: Features) -> bool:
    """Tell by few features of a picture whether it may be the same as another: two sure matches are turned alike."""
    import faiss

    distances, nearest = faiss.knn_hamming(few.descriptors, others.descriptors, 2)
    first, second = distances.T
    sure = np.flatnonzero((first < _MAX_BITS) & (first < _SURE_RATIO * second))
    if len(sure) < _MIN_FEW_SURE:
        return False
    turns = others.angles[nearest[sure, 0]] - few.angles[sure]
    apart = np.abs((turns[:, None] - turns + 180) % 360 - 180)
    return bool((apart <= _MAX_APART).sum(axis=1).max() >= _MIN_FEW_SURE)


def fit_map(features: Features, others: Features) -> Affine | None:
    """Fit a map of one picture onto another to the matches of their features: turn, scale and shift.

    Args:
        features: Of the picture onto which the other is mapped.
        others: Of the other one.

    Returns:
        None where too few agree with it.
    """
    rows, other_rows = _match(features.descriptors, others.descriptors)
    if len(rows) < _MIN_INLIERS:
        return None
    return _fit(others.places[other_rows], features.places[rows])


def have_enough(*pictures: Features) -> bool:
    """Tell whether a map can be fitted to the features of each picture."""
    return min(len(features.places) for features in pictures) >= _MIN_INLIERS


def _to_features(keypoints: Sequence[Any], descriptors: Pixels | None) -> Features:
    import cv2

    n = len(keypoints)
    return Features(
        places=np.asarray(cv2.KeyPoint.convert(keypoints), np.float32).reshape(-1, 2),
        angles=np.fromiter((point.angle for point in keypoints), np.float32, n),
        levels=np.fromiter((point.octave for point in keypoints), np.int64, n),
        descriptors=np.empty((0, 32), np.uint8) if descriptors is None else descriptors,
    )


def _detector() -> Any:
    import cv2

    return cv2.ORB.create(
        nfeatures=_N_FEATURES,
        scaleFactor=_SCALE,
        nlevels=_N_LEVELS,
        edgeThreshold=_PATCH_PX // 2,
        patchSize=_PATCH_PX,
        fastThreshold=_MIN_CORNER,
    )


def _fit(sources: Floats, targets: Floats) -> Affine | None:
    """Fit a map of places, float32 [n, 2], onto others by RANSAC; None where too few agree with it."""
    import cv2

    fit = functools.partial(
        cv2.estimateAffinePartial2D, method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX, maxIters=_MAX_DRAWS
    )
    matrix, inliers = fit(sources, targets, refineIters=0)
    if matrix is None or np.count_nonzero(inliers) < _MIN_INLIERS:
        return None
    fitted: Affine = fit(sources, targets)[0]  # draws the same again: refining those by chance would take longer
    return fitted


def _match(descriptors: Pixels, others: Pixels) -> tuple[Rows, Rows]:
    """Return the rows of descriptors that match: each the other's nearest, and clearly nearer than the second.

    None where hardly any is much nearer than the second: then all are chance.
    """
    import faiss

    distances, nearest = faiss.knn_hamming(descriptors, others, 2)
    first, second = distances.T
    is_near = first < _MAX_BITS
    clear = np.flatnonzero(is_near & (first < _MAX_RATIO * second))
    n_sure = np.count_nonzero(is_near & (first < _SURE_RATIO * second))
    if n_sure < _MIN_SURE or len(clear) < _MIN_INLIERS:
        return clear[:0], clear[:0]
    _, back = faiss.knn_hamming(others[nearest[clear, 0]], descriptors, 1)
    chosen = clear[back[:, 0] == clear]
    return chosen, nearest[chosen, 0]

"""Views of an image whose vectors are averaged (test-time augmentation), inside the network's graph."""

from collections.abc import Callable
from typing import Any

from frieze.core import import_tensorflow

_CROP_SHARE = 7 / 8
"""Share of each side that a crop keeps. Source: Krizhevsky et al. 2012, crops of 224 out of 256 pixels."""


def _flip(images: Any) -> list[Any]:
    return [images, import_tensorflow().reverse(images, axis=[2])]


def _five_crop(images: Any) -> list[Any]:
    tf = import_tensorflow()
    size = images.shape[1:3]
    sides = [max(1, round(_CROP_SHARE * side)) for side in size]
    bottom, right = (whole - side for whole, side in zip(size, sides, strict=True))
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = [images[:, top : top + sides[0], left : left + sides[1]] for top, left in corners]
    return [tf.image.resize(crop, size) for crop in crops]


VIEWS: dict[str, Callable[[Any], list[Any]]] = {"flip": _flip, "five-crop": _five_crop}
"""Name -> function of float32 [B, H, W, 3] that gives its views, of the same shape: the image and its mirror image, or
crops at the corners and in the middle, enlarged."""


def average_views(call: Callable[[Any], Any], views: str | None) -> Callable[[Any], Any]:
    """Return a function that embeds each view of an image and averages the unit vectors.

    Args:
        call: TensorFlow function: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D].
        views: A key of `VIEWS`; None for the image alone, with its vector as it is.
    """
    if views is None:
        return call

    def embed(images: Any) -> Any:
        tf = import_tensorflow()
        seen = VIEWS[views](images)
        embeddings = call(tf.concat(seen, axis=0))  # [V * B, D]
        unit = tf.math.l2_normalize(embeddings, axis=1, epsilon=1e-24)
        return tf.reduce_mean(tf.stack(tf.split(unit, len(seen))), axis=0)

    return embed

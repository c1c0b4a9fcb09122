"""Views of an image whose vectors are averaged (test-time augmentation), inside the network's graph.

TensorFlow and OpenVINO share one table of views: each brings the few operations that these take.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from frieze.core import import_tensorflow

_CROP_SHARE = 7 / 8
"""Share of each side that a crop keeps. Source: Krizhevsky et al. 2012, crops of 224 out of 256 pixels."""
_SMALLEST = 1e-24
"""Least squared length that a vector is divided by."""
_Box = tuple[int, int, int, int]


class ViewOperations(NamedTuple):
    """The operations of a library that views take, on float32 [B, H, W, 3].

    Attributes:
        mirror: Exchanges left and right.
        crop: (images, (top, left, bottom, right)) -> that part.
        resize: (images, (height, width)) -> that size, bilinear.
    """

    mirror: Callable[[Any], Any]
    crop: Callable[[Any, _Box], Any]
    resize: Callable[[Any, tuple[int, int]], Any]


def _flip(images: Any, _size: tuple[int, int], ops: ViewOperations) -> list[Any]:
    return [images, ops.mirror(images)]


def _five_crop(images: Any, size: tuple[int, int], ops: ViewOperations) -> list[Any]:
    height, width = (max(1, round(_CROP_SHARE * side)) for side in size)
    bottom, right = size[0] - height, size[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = [ops.crop(images, (top, left, top + height, left + width)) for top, left in corners]
    return [ops.resize(crop, size) for crop in crops]


VIEWS: dict[str, Callable[[Any, tuple[int, int], ViewOperations], list[Any]]] = {
    "flip": _flip,
    "five-crop": _five_crop,
}
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

    return lambda images: mean_of_tensors(call(concat_views(images, views)), views)


def concat_views(images: Any, views: str | None) -> Any:
    """Return the views of a batch one after the other, as a TensorFlow tensor: float32 [V * B, H, W, 3].

    Args:
        images: float32 [B, H, W, 3] in [0, 1].
        views: A key of `VIEWS`; None for the images alone.
    """
    if views is None:
        return images
    return import_tensorflow().concat(VIEWS[views](images, tuple(images.shape[1:3]), _tensorflow_operations()), axis=0)


def mean_of_tensors(embeddings: Any, views: str | None) -> Any:
    """Average the unit vectors of the views of each image, as a TensorFlow tensor: float32 [B, D].

    Args:
        embeddings: float32 [V * B, D], of `concat_views`.
        views: A key of `VIEWS`; None for one vector of each image, which stays as it is.
    """
    if views is None:
        return embeddings
    tf = import_tensorflow()
    unit = tf.math.l2_normalize(embeddings, axis=1, epsilon=_SMALLEST)
    return tf.reduce_mean(tf.stack(tf.split(unit, _N_VIEWS[views])), axis=0)


def _tensorflow_operations() -> ViewOperations:
    tf = import_tensorflow()
    return ViewOperations(
        mirror=lambda images: tf.reverse(images, axis=[2]),
        crop=lambda images, box: images[:, box[0] : box[2], box[1] : box[3]],
        resize=tf.image.resize,
    )


def stack_views(images: Any, size: tuple[int, int], views: str | None) -> Any:
    """Return the views of a batch one after the other, as a node of OpenVINO: float32 [V * B, H, W, 3].

    Args:
        images: Node: float32 [B, H, W, 3] in [0, 1].
        size: H and W.
        views: A key of `VIEWS`; None for the images alone.
    """
    from openvino import opset13

    return images if views is None else opset13.concat(VIEWS[views](images, size, _openvino_operations()), 0)


def mean_of_views(embeddings: Any, views: str, *, dim: int) -> Any:
    """Average the unit vectors of the views of each image, as a node of OpenVINO: float32 [B, D].

    Args:
        embeddings: Node: float32 [V * B, D], of `stack_views`.
        views: A key of `VIEWS`.
        dim: D.
    """
    from openvino import opset13

    unit = opset13.normalize_l2(embeddings, np.array([1]), _SMALLEST, "max")
    by_view = opset13.reshape(unit, np.array([_N_VIEWS[views], -1, dim]), special_zero=False)
    return opset13.reduce_mean(by_view, np.array([0]), keep_dims=False)


_N_VIEWS = {"flip": 2, "five-crop": 5}


def _openvino_operations() -> ViewOperations:
    from openvino import opset13

    def mirror(images: Any) -> Any:
        width = images.get_output_partial_shape(0)[2].get_length()
        return opset13.gather(images, np.arange(width)[::-1].copy(), np.int64(2))

    def crop(images: Any, box: _Box) -> Any:
        return opset13.slice(images, np.array(box[:2]), np.array(box[2:]), np.array([1, 1]), np.array([1, 2]))

    def resize(images: Any, size: tuple[int, int]) -> Any:
        # Bilinear, with pixels' centres on centres: two products with constant weights.
        height, width = (images.get_output_partial_shape(0)[axis].get_length() for axis in (1, 2))
        columns = opset13.matmul(_bilinear(width, size[1]), images, False, False)  # noqa: FBT003  over W: [B, H, w, 3]
        swapped = opset13.transpose(columns, np.array([0, 2, 1, 3]))
        rows = opset13.matmul(_bilinear(height, size[0]), swapped, False, False)  # noqa: FBT003
        return opset13.transpose(rows, np.array([0, 2, 1, 3]))

    return ViewOperations(mirror, crop, resize)


def _bilinear(n_from: int, n_to: int) -> Any:
    """Return the weights float32 [n_to, n_from] of linear interpolation between centres of pixels.

    >>> _bilinear(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    centres = np.clip((np.arange(n_to) + 0.5) * n_from / n_to - 0.5, 0, n_from - 1)
    distances = np.abs(centres[:, None] - np.arange(n_from))
    return np.maximum(1 - distances, 0).astype(np.float32)

"""Decoding and resizing as TensorFlow operations, inside exported models."""

from collections.abc import Callable
from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.base import freeze
from frieze.embedder.in_graph.decode import decode_bytes
from frieze.embedder.in_graph.onnx_model import ONNX_INPUT, ONNX_OUTPUT, to_onnx
from frieze.embedder.in_graph.resize import resize_pixels
from frieze.features import BackboneSpec

__all__ = ["ONNX_INPUT", "ONNX_OUTPUT", "decode_batch", "fit_batch", "freeze_with", "to_onnx"]


def decode_batch(data: Any, spec: BackboneSpec) -> Any:
    """Decode image files to the input of a backbone, as `decode_for` does, in TensorFlow operations.

    Args:
        data: string [N], the bytes of JPEG, PNG, GIF, BMP or WebP files.
        spec: Spec of the backbone, with size and fit.

    Returns:
        uint8 [N, H, W, 3].
    """
    tf = import_tensorflow()

    def decode_one(one: Any) -> Any:
        image = decode_bytes(one, side_px=max(spec.image_size), decoding=spec.decoding)
        return fit_batch(image[None], spec)[0]

    pixels = tf.TensorSpec([*spec.image_size, 3], tf.uint8)
    return tf.map_fn(decode_one, data, fn_output_signature=pixels)


def fit_batch(pixels: Any, spec: BackboneSpec) -> Any:
    """Resize decoded images to the input size of a backbone; images of that size stay unchanged.

    Args:
        pixels: uint8 [N, h, w, 3], RGB, of any size.
        spec: Spec of the backbone, with size and fit.

    Returns:
        uint8 [N, H, W, 3].
    """
    return resize_pixels(pixels, fit=spec.fit, image_size=spec.image_size)


def freeze_with(backbone: Backbone, then: Callable[[Any], Any]) -> Any:
    """Freeze a backbone together with a head.

    Args:
        backbone: From `open_backbone` or `reopen_backbone`.
        then: TensorFlow function of its embeddings, float32 [B, D].

    Returns:
        TensorFlow function without variables: uint8 [B, H, W, 3] -> what `then` gives, float32.
    """
    return freeze(lambda images: then(backbone.call(images)), backbone.spec.image_size)

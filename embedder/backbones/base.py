"""An open backbone: its network, its spec, and its graph frozen for inference, without variables."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frieze.core import ModelError, import_tensorflow
from frieze.embedder.backbones.request import BackboneRequest
from frieze.features import BackboneSpec

OPTION, TABLE, NETWORK, LAYERS, HUB = "option", "table", "network", "layers", "hub"
"""Where a pixel range comes from: `--pixels`, the table that a run resumes, the network's documentation, the numbers in
its first layers, or the convention of TensorFlow Hub."""


TENSORFLOW, OPENVINO = "tensorflow", "openvino"
"""Engines whose embeddings in float32 are a network's reference."""


@dataclasses.dataclass(frozen=True)
class StatedPixels:
    """The pixel range that a network itself declares.

    Attributes:
        name: A key of `PIXELS`; None if unknown.
        known_from: `NETWORK`, `LAYERS` or `HUB`.
    """

    name: str | None = None
    known_from: str = NETWORK


@dataclasses.dataclass(frozen=True)
class OpenVINOGraph:
    """A network that OpenVINO reads from its file, so that TensorFlow has no part in it.

    Attributes:
        read: Returns a copy of it as an OpenVINO model: uint8 [B, H, W, 3] -> float32 [B, D].
        dim: D.
        batch_size: The B that it is fixed to; None for any.
    """

    read: Callable[[], Any]
    dim: int
    batch_size: int | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """An open backbone: a callable with its spec.

    Attributes:
        spec: What decides its embeddings.
        call: TensorFlow function: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D]; preprocessing is inside. It raises
            a ModelError where TensorFlow can't run the network.
        to_model: Returns the Keras model behind it; None for a SavedModel.
        read_pixels: Returns the pixel range that the network itself declares.
        is_pixels_explicit: Whether the user chose the range in the spec.
        request: The request that opened it; None for one that was made otherwise.
        files_before: sha256 of its files before they were loaded; None where they are not known.
        default_size: Height and width where a request leaves them out; None if this one did not.
        graph_path: Its kept graph as OpenVINO IR; with one, TensorFlow is loaded by the first `call` only.
        graph_drift: Distance of the kept graph's embeddings from TensorFlow's in float32.
        openvino_graph: Its own graph, where OpenVINO reads the network instead of TensorFlow.
    """

    spec: BackboneSpec
    call: Callable[[Any], Any]
    to_model: Callable[[], Any] | None = None
    read_pixels: "Callable[[], StatedPixels]" = StatedPixels
    is_pixels_explicit: bool = True
    request: BackboneRequest | None = None
    files_before: str | None = None
    default_size: tuple[int, int] | None = None
    graph_path: Path | None = None
    graph_drift: dict[str, Any] | None = None
    openvino_graph: OpenVINOGraph | None = None

    @property
    def reference(self) -> str:
        """The engine whose embeddings in float32 all others are compared with."""
        return TENSORFLOW if self.openvino_graph is None else OPENVINO

    @functools.cached_property
    def stated_pixels(self) -> "StatedPixels":
        """The pixel range that the network itself declares, and where it comes from."""
        return self.read_pixels()

    @property
    def contradiction(self) -> str | None:
        """The pixel range in the numbers of the network's layers, if the spec has another; else None."""
        stated = self.stated_pixels
        return stated.name if stated.known_from == LAYERS and stated.name != self.spec.pixels else None

    @property
    def pixels_from(self) -> str:
        """Where the range in the spec comes from: `option`, or `StatedPixels.known_from`."""
        return OPTION if self.is_pixels_explicit else self.stated_pixels.known_from

    @functools.cached_property
    def model(self) -> Any:
        """The Keras model behind it, which takes `spec.pixels` and returns [B, D] or [B, h, w, D]; None for none."""
        return None if self.to_model is None else self.to_model()

    @functools.cached_property
    def frozen(self) -> Any:
        """TensorFlow function without variables: uint8 [B, H, W, 3] -> float32 [B, D]."""
        return freeze(self.call, self.spec.image_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network as each kind of backbone loads it; `open_backbone` wraps it as a `Backbone`.

    Attributes:
        name: Its name in messages.
        handle: The handle that opens it again.
        fingerprint: sha256, hex.
        image_size: Height and width that it requires; None for any.
        read_pixels: Returns the pixel range that it was trained on; may trace the graph.
        call: TensorFlow function: float32 [B, H, W, 3] in that range -> [B, D], [B, T, D] or [B, h, w, D].
        model: Returns the Keras model behind it, for training; None for a SavedModel.
        to_openvino: For a network that OpenVINO reads: returns its graph for H and W and a range of pixels.
        text_encoder: `handle` and `fingerprint` of its own text tower; None for a network of images alone.
    """

    name: str
    handle: str
    fingerprint: str
    image_size: tuple[int, int] | None
    read_pixels: Callable[[], StatedPixels]
    call: Callable[[Any], Any]
    model: Callable[[], Any] | None = None
    to_openvino: Callable[[tuple[int, int], str], OpenVINOGraph] | None = None
    text_encoder: dict[str, str] | None = None


def no_tensorflow_error(name: str) -> ModelError:
    """Return the error for what only TensorFlow can do with a network, such as training it."""
    return ModelError(
        f"{name} is an ONNX file, which OpenVINO runs: TensorFlow can neither train it nor write it into a model.",
        hint="Train a head on its features, and predict with that: frieze train FEATURES --out HEAD; write both as"
        " ONNX: frieze export HEAD --format onnx --out MODEL.onnx; or use a .keras file or a SavedModel of it.",
    )


def freeze(call: Callable[[Any], Any], image_size: tuple[int, int]) -> Any:
    """Freeze a callable to a TensorFlow function without variables, for inference.

    Constants instead of variables let an engine fold batch norm into convolutions.

    Args:
        call: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D].
        image_size: H and W in pixels.

    Returns:
        uint8 [B, H, W, 3] -> float32 [B, D].
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def embed(pixels: Any) -> Any:
        return call(tf.cast(pixels, tf.float32) / 255.0)

    pixels = tf.TensorSpec([None, *image_size, 3], tf.uint8)
    return convert_variables_to_constants_v2(tf.function(embed, autograph=False).get_concrete_function(pixels))

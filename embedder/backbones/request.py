"""What the user asks for, and what comes of it."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedder.backbones.catalogue import BUILT_IN
from embedder.backbones.frozen import freeze
from features import BackboneSpec

NAMED_WEIGHTS = ("imagenet", "random")
"""What `--weights` takes besides a file."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a network's numbers can be while it runs; embeddings are stored as float32 whatever it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneRequest:
    """A backbone as the user asks for it; None means the backbone's own default.

    Attributes:
        handle: `builtin`, a SavedModel's folder, a URL, `keras:NAME` or a `.keras` file.
        weights: `imagenet`, `random` or a file; for `keras:NAME` only.
        layer: The layer or output to read.
        image_size: Side of the square that the network sees, in pixels.
        fit: `squash`, `crop` or `pad`.
        pixels: Range of the pixels that the network was trained on.
        precision: What the network's numbers are while it runs: `float32`, `bfloat16` or `float16`.
        trust: Run a SavedModel that does more than compute, too.
    """

    handle: str = BUILT_IN
    weights: str | None = None
    layer: str | None = None
    image_size: int | None = None
    fit: str = "squash"
    pixels: str | None = None
    precision: str = "float32"
    trust: bool = False

    @property
    def weights_path(self) -> Path | None:
        """The file of weights, absolute; None where none is asked for."""
        return None if self.weights in (None, *NAMED_WEIGHTS) else Path(str(self.weights)).absolute()

    def to_json(self) -> dict[str, Any]:
        """Give what decides the embeddings as plain JSON values: trust is the word of one run, and is not stored."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "trust"}

    @classmethod
    def of(cls, spec: BackboneSpec) -> "BackboneRequest":
        """Give the request that brings a stored spec's backbone back, untrusted: a table may be anybody's."""
        return cls(
            handle=spec.handle,
            weights=spec.weights,
            layer=spec.layer,
            image_size=spec.image_size[0],
            fit=spec.fit,
            pixels=None if spec.handle == BUILT_IN or spec.handle.startswith("keras:") else spec.pixels,
            precision=spec.precision,
        )


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A frozen graph with its spec.

    Attributes:
        spec: What decides its embeddings.
        call: TensorFlow function: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D]; preprocessing is inside.
        to_model: Gives the Keras model within; None for all else.
    """

    spec: BackboneSpec
    call: Callable[[Any], Any]
    to_model: Callable[[], Any] | None = None

    @functools.cached_property
    def model(self) -> Any:
        """The Keras model within, which takes `spec.pixels` and may give [B, h, w, D]; None where there is none."""
        return None if self.to_model is None else self.to_model()

    @functools.cached_property
    def frozen(self) -> Any:
        """TensorFlow function without variables: uint8 [B, H, W, 3] -> float32 [B, D]."""
        return freeze(self.call, self.spec.image_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What each kind of backbone gives; `open_backbone` makes the rest alike.

    Attributes:
        name: For people.
        handle: What to type to get it again.
        fingerprint: sha256, hex.
        image_size: Height and width it was made for; None where any will do.
        pixels: Range it was trained on, a key of `PIXELS`.
        call: TensorFlow function: float32 [B, H, W, 3] in that range -> [B, D] or [B, h, w, D].
        model: Gives the Keras model behind it, to train; None for all else.
    """

    name: str
    handle: str
    fingerprint: str
    image_size: tuple[int, int] | None
    pixels: str
    call: Callable[[Any], Any]
    model: Callable[[], Any] | None = None

"""What the user asks for, and what comes of it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from frieze.core import InputError
from frieze.embedder.backbones.catalogue import BUILT_IN
from frieze.embedder.backbones.freeze import freeze
from frieze.embedder.images.decode import STRETCHED, VERSION
from frieze.features import BackboneSpec

NAMED_WEIGHTS = ("imagenet", "random")
"""What `--weights` takes besides a file."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a network's numbers can be while it runs; embeddings are stored as float32 whatever it is."""

_OLD_DEFAULTS = {"stretch": False}
"""What was asked for by tables that are older than the option."""


MODEL_FILES = (".keras", ".h5", ".hdf5")
"""Suffixes of files that hold a whole Keras model."""

OPTION, TABLE, NETWORK, LAYERS, HUB = "option", "table", "network", "layers", "hub"
"""How a range of pixels is known: `--pixels` said so, the table that is gone on with was made with it, the network's
maker says so, the numbers in its first layers tell, or all modules of TensorFlow Hub take it."""


@dataclasses.dataclass(frozen=True)
class StatedPixels:
    """The range of pixels that a network wants by itself.

    Attributes:
        name: A key of `PIXELS`; None where nothing tells.
        known_from: `NETWORK`, `LAYERS` or `HUB`.
    """

    name: str | None = None
    known_from: str = NETWORK


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneRequest:
    """A backbone as the user asks for it; None means the backbone's own default.

    Attributes:
        handle: `builtin`, a SavedModel's folder, a URL, `keras:NAME` or a `.keras` file.
        weights: `imagenet`, `random` or a file; for `keras:NAME` only.
        layer: The layer or output to read.
        image_size: Side of the square that the network sees, in pixels; or height and width, also as `64x96`.
        fit: `squash`, `crop` or `pad`.
        pixels: Range of the pixels that the network was trained on.
        precision: What the network's numbers are while it runs: `float32`, `bfloat16` or `float16`.
        trust: Run a SavedModel that does more than compute, too.
        stretch: Take the lowest and highest value of each image of more than 8 bits for black and white.
    """

    handle: str = BUILT_IN
    weights: str | None = None
    layer: str | None = None
    image_size: int | str | tuple[int, int] | None = None
    fit: str = "squash"
    pixels: str | None = None
    precision: str = "float32"
    trust: bool = False
    stretch: bool = False

    @property
    def weights_path(self) -> Path | None:
        """The file of weights, absolute; None where none is asked for."""
        return None if self.weights in (None, *NAMED_WEIGHTS) else Path(str(self.weights)).absolute()

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the network sees; None for its own.

        Raises:
            InputError: `image_size` is no such thing.
        """
        if self.image_size is None:
            return None
        told = self.image_size
        sides = [told] if isinstance(told, int) else told.lower().split("x") if isinstance(told, str) else list(told)
        try:
            height, width = map(int, sides * 2 if len(sides) == 1 else sides)
        except ValueError:
            height = width = 0
        if min(height, width) < 1:
            hint = "Give the side in pixels, 1 or more, or height and width as HxW."
            raise InputError(f"--image-size is {told}.", hint=hint)
        return height, width

    @property
    def decoding(self) -> str:
        """The way from bytes to pixels, as a spec has it."""
        return STRETCHED if self.stretch else VERSION

    def to_json(self) -> dict[str, Any]:
        """Return what decides the embeddings as plain JSON values, paths absolute: trust counts for one run."""
        asked = dataclasses.asdict(self) | {
            "handle": str(Path(self.handle).absolute()) if self._is_path else self.handle,
            "weights": self.weights if self.weights_path is None else str(self.weights_path),
            "image_size": None if self.size is None else _as_typed(self.size),
        }
        return {name: value for name, value in asked.items() if name != "trust"}

    def is_in(self, stored: Mapping[str, Any]) -> bool:
        """Tell whether a stored request asks for the same; it may be older than some of our options."""
        return self.to_json().items() <= (_OLD_DEFAULTS | dict(stored)).items()

    @property
    def _is_path(self) -> bool:
        is_named = self.handle == BUILT_IN or self.handle.startswith("keras:") or "://" in self.handle
        return not is_named and (self.handle.endswith(".keras") or Path(self.handle).is_dir())

    @classmethod
    def of(cls, spec: BackboneSpec) -> "BackboneRequest":
        """Give the request that brings a stored spec's backbone back, untrusted: a table may be anybody's."""
        return cls(
            handle=spec.handle,
            weights=spec.weights,
            layer=spec.layer,
            image_size=_as_typed(spec.image_size),
            fit=spec.fit,
            precision=spec.precision,
            stretch=spec.decoding == STRETCHED,
        ).with_pixels(spec.pixels)

    @property
    def has_own_pixels(self) -> bool:
        """Whether the range of pixels goes without saying."""
        return self.handle == BUILT_IN or self.handle.startswith("keras:")

    def with_pixels(self, pixels: str) -> "BackboneRequest":
        """Give the same request for a range of pixels that is known, as far as it can be asked for."""
        return self if self.has_own_pixels else dataclasses.replace(self, pixels=pixels)


def _as_typed(size: tuple[int, int]) -> int | str:
    """Write height and width as they are typed after `--image-size`."""
    height, width = size
    return height if height == width else f"{height}x{width}"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A frozen graph with its spec.

    Attributes:
        spec: What decides its embeddings.
        call: TensorFlow function: float32 [B, H, W, 3] in [0, 1] -> float32 [B, D]; preprocessing is inside.
        to_model: Gives the Keras model within; None for all else.
        read_pixels: Tells what range of pixels the network itself says it wants.
        is_asked: Whether the range in the spec was asked for, whatever the network says.
    """

    spec: BackboneSpec
    call: Callable[[Any], Any]
    to_model: Callable[[], Any] | None = None
    read_pixels: "Callable[[], StatedPixels]" = StatedPixels
    is_asked: bool = True

    @functools.cached_property
    def stated_pixels(self) -> "StatedPixels":
        """What range of pixels the network itself says it wants, and how that is known."""
        return self.read_pixels()

    @property
    def contradiction(self) -> str | None:
        """What the numbers in the network's layers say, where the range in the spec is another one."""
        stated = self.stated_pixels
        return stated.name if stated.known_from == LAYERS and stated.name != self.spec.pixels else None

    @property
    def pixels_from(self) -> str:
        """How the range in the spec is known: `option`, or as `StatedPixels` has it."""
        return OPTION if self.is_asked else self.stated_pixels.known_from

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
        read_pixels: Tells the range of pixels that it was trained on; it may have to look through a graph.
        call: TensorFlow function: float32 [B, H, W, 3] in that range -> [B, D] or [B, h, w, D].
        model: Gives the Keras model behind it, to train; None for all else.
    """

    name: str
    handle: str
    fingerprint: str
    image_size: tuple[int, int] | None
    read_pixels: Callable[[], StatedPixels]
    call: Callable[[Any], Any]
    model: Callable[[], Any] | None = None

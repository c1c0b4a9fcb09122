"""A backbone as the user asks for it: its handle and the options that decide its embeddings."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frieze.core import InputError
from frieze.embedder.backbones.catalogue import BUILTIN, KERASHUB
from frieze.embedder.images.decode import MIN_DRAFT_PX, VERSION
from frieze.embedder.images.sample_range import SampleRange, split_decoding
from frieze.features import BackboneSpec

NAMED_WEIGHTS = ("imagenet", "random")
"""Values of `--weights` besides a file."""

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
"""Precisions of inference; embeddings are always stored as float32."""

_OLD_DEFAULTS = {"stretch": False, "scale": None, "bands": None, "pool": None, "views": None, "text_encoder": None}
"""Options of tables that are older than the option."""


PRESET_CONFIG = "config.json"
"""The file that each preset of KerasHub has."""

MODEL_FILES = (".keras", ".h5", ".hdf5")
"""Suffixes of files that hold a whole Keras model."""
ONNX = ".onnx"
"""Suffix of a model that OpenVINO reads."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneRequest:
    """A requested backbone; None means the default of the backbone.

    Attributes:
        handle: `builtin`, a SavedModel's folder, a URL, `keras:NAME`, a `.keras` or an `.onnx` file.
        weights: `imagenet`, `random` or a file; for `keras:NAME` only.
        layer: The layer or output to read.
        pool: How its maps or tokens become one vector, a key of `POOLS`.
        image_size: Side of the square input in pixels; or height and width, also as `64x96`.
        fit: `squash`, `crop` or `pad`.
        pixels: Pixel range that the network was trained on.
        precision: Precision of inference, one of `PRECISIONS`.
        views: A key of `VIEWS`.
        trust: Also run a SavedModel with operations that do more than compute.
        stretch: Map the lowest and highest value of each image of more than 8 bits to black and white.
        scale: The values of black and white of images of more than 8 bits, as `0..1`; None for what each file states.
        bands: Bands of a TIFF that are red, green and blue, or grey, from 1, as `4,3,2`; None for its colours.
        decoding_version: A key of `MIN_DRAFT_PX`; a table keeps the one that it was begun with.
        text_encoder: The ONNX file or the folder of the text tower that belongs to it; None for its own, or none.
    """

    handle: str = BUILTIN
    weights: str | None = None
    layer: str | None = None
    pool: str | None = None
    image_size: int | str | tuple[int, int] | None = None
    fit: str = "squash"
    pixels: str | None = None
    precision: str = "float32"
    views: str | None = None
    trust: bool = False
    stretch: bool = False
    scale: str | None = None
    bands: str | None = None
    decoding_version: str = VERSION
    text_encoder: str | None = None

    @property
    def weights_path(self) -> Path | None:
        """The absolute path of the file of weights; None without one."""
        return None if self.weights in (None, *NAMED_WEIGHTS) else Path(str(self.weights)).absolute()

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the input; None for the network's default.

        Raises:
            InputError: `image_size` is invalid.
        """
        if self.image_size is None:
            return None
        size = self.image_size
        sides = [size] if isinstance(size, int) else size.lower().split("x") if isinstance(size, str) else list(size)
        try:
            height, width = map(int, sides * 2 if len(sides) == 1 else sides)
        except ValueError:
            height = width = 0
        if min(height, width) < 1:
            hint = "Give the side in pixels, 1 or more, or height and width as HxW."
            raise InputError(f"`image_size` is {size}.", hint=hint)
        return height, width

    @property
    def samples(self) -> SampleRange:
        """Which samples are shown, and which values are black and white.

        Raises:
            InputError: An option is invalid, or two exclude each other.
        """
        return SampleRange.of(stretch=self.stretch, scale=self.scale, bands=self.bands)

    @property
    def decoding(self) -> str:
        """The version of decoding, as stored in a spec."""
        return self.decoding_version + self.samples.suffix

    def to_json(self) -> dict[str, Any]:
        """Return the options that decide the embeddings as JSON values, with absolute paths.

        Without trust, which is for one run, and the version of decoding, which is no option.
        """
        options = dataclasses.asdict(self) | {
            "handle": absolute_handle(self.handle),
            "weights": self.weights if self.weights_path is None else str(self.weights_path),
            "text_encoder": None if self.text_encoder is None else str(Path(self.text_encoder).absolute()),
            "image_size": None if self.size is None else _as_typed(self.size),
            "scale": self.samples.scale_text,
            "bands": self.samples.bands_text,
        }
        return {name: value for name, value in options.items() if name not in ("trust", "decoding_version")}

    def is_same_as(self, stored: Mapping[str, Any]) -> bool:
        """Return whether a stored request, possibly older than some options, is the same as this one."""
        return self.to_json().items() <= (_OLD_DEFAULTS | dict(stored)).items()

    @classmethod
    def of(cls, spec: BackboneSpec) -> "BackboneRequest":
        """Return the request that opens the backbone of a stored spec, untrusted: a table may come from anybody."""
        return cls(
            handle=spec.handle,
            weights=spec.weights,
            layer=spec.layer,
            pool=spec.pool,
            image_size=_as_typed(spec.image_size),
            fit=spec.fit,
            precision=spec.precision,
            views=spec.views,
            **_sample_options(spec),
        ).resuming(spec)

    def resuming(self, spec: BackboneSpec) -> "BackboneRequest":
        """Return this request with the range of pixels and the version of decoding of a stored table.

        A version that is not known here, as of a later Frieze, stays out: the specs then differ.
        """
        version, _ = split_decoding(spec.decoding)
        known = version if version in MIN_DRAFT_PX else self.decoding_version
        return dataclasses.replace(self, decoding_version=known).with_pixels(spec.pixels)

    @property
    def has_known_pixels(self) -> bool:
        """Whether the pixel range is known from the handle."""
        return self.handle == BUILTIN or self.handle.startswith("keras:")

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether the handle is that of a network whose preprocessing comes with it."""
        return self.has_known_pixels or self.handle.startswith(KERASHUB)

    def with_pixels(self, pixels: str) -> "BackboneRequest":
        """Return this request with a pixel range, unless the handle implies it."""
        return self if self.has_known_pixels else dataclasses.replace(self, pixels=pixels)


def _sample_options(spec: BackboneSpec) -> dict[str, Any]:
    samples = split_decoding(spec.decoding)[1]
    return {"stretch": samples.stretches, "scale": samples.scale_text, "bands": samples.bands_text}


def preset_folder(handle: str) -> Path | None:
    """Return the absolute path of a preset of KerasHub in a local folder; None for any other handle."""
    path = Path(handle.removeprefix(KERASHUB)).absolute()
    return path if handle.startswith(KERASHUB) and (path / PRESET_CONFIG).is_file() else None


def absolute_handle(handle: str) -> str:
    """Return a handle with its path made absolute; a name or URL as it is."""
    if handle.startswith(KERASHUB):
        folder = preset_folder(handle)
        return handle if folder is None else f"{KERASHUB}{folder}"
    is_named = handle == BUILTIN or handle.startswith("keras:") or "://" in handle
    is_path = not is_named and (handle.endswith((*MODEL_FILES, ONNX)) or Path(handle).is_dir())
    return str(Path(handle).absolute()) if is_path else handle


def _as_typed(size: tuple[int, int]) -> int | str:
    """Format height and width as typed after `--image-size`."""
    height, width = size
    return height if height == width else f"{height}x{width}"

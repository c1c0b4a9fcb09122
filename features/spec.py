"""The spec of a backbone, stored with its embeddings, and the check that two specs are compatible."""

import dataclasses
from typing import Any, Self

from frieze.core import MismatchError

_OPTIONAL = ("pool", "drift", "text_encoder")
"""Fields that are left out where they are None."""

MADE_ELSEWHERE = "made elsewhere"
"""The value of fit, pixels and decoding for imported vectors."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """Everything that decides what an image's embedding is.

    Attributes:
        name: A short name for people, such as `mobilenet_v2_100_224`.
        handle: What to type after `--backbone` to get it again.
        fingerprint: sha256 (hex) over the saved files or the weights.
        dim: Width D of an embedding, >= 1.
        image_size: Height and width in pixels of the network's input.
        fit: How an image is resized to that: `squash`, `crop` or `pad`.
        pixels: Range of the network's input values, such as `-1..1`.
        layer: The layer or output that is read; None for the last one.
        pool: How its maps or tokens become one vector; None for the mean of maps, and for a vector that it returns.
        weights: What to type after `--weights` to get it again; None where the handle suffices.
        precision: `float32` unless a lower one was chosen.
        decoding: Version of decoding from bytes to pixels; another version gives other vectors.
        drift: Difference of the engine's vectors from the float32 reference, measured on some of the images; None
            where the reference made them.
        text_encoder: `handle` and `fingerprint` of the text tower that belongs to it; None for images alone.
    """

    name: str
    handle: str
    fingerprint: str
    dim: int
    image_size: tuple[int, int]
    fit: str = "squash"
    pixels: str = "0..1"
    layer: str | None = None
    pool: str | None = None
    weights: str | None = None
    precision: str = "float32"
    decoding: str = "none"
    drift: dict[str, Any] | None = None
    text_encoder: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values."""
        stored = dataclasses.asdict(self) | {"image_size": list(self.image_size)}
        return {name: value for name, value in stored.items() if name not in _OPTIONAL or value is not None}

    @property
    def is_made_elsewhere(self) -> bool:
        """Whether the vectors were imported, so that no further image can be embedded."""
        return self.decoding == MADE_ELSEWHERE

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Create a spec from the values of `to_json`; fields of later versions are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in stored.items() if key in known}
        return cls(**values | {"image_size": tuple(values["image_size"])})


_IDENTITY = ("fingerprint", "dim", "image_size", "fit", "pixels", "layer", "pool", "precision", "decoding")
"""Two embeddings are compatible only when these fields agree; names and handles are for people."""
_MEAN = "avg"
"""The pooling of maps where none is named; tokens have no default."""


def is_same_backbone(one: BackboneSpec, other: BackboneSpec) -> bool:
    """Return whether the embeddings of two specs are compatible."""
    return not _differences(one, other)


def _differences(one: BackboneSpec, other: BackboneSpec) -> list[str]:
    return [name for name in _IDENTITY if _identity(one, name) != _identity(other, name)]


def _identity(spec: BackboneSpec, name: str) -> Any:
    return spec.pool or _MEAN if name == "pool" else getattr(spec, name)


def check_same_backbone(got: BackboneSpec, expected: BackboneSpec, *, where: str, hint: str) -> None:
    """Refuse two specs whose embeddings are not compatible.

    Args:
        got: The new spec.
        expected: The stored spec.
        where: What stores it, for the message.
        hint: What to type.

    Raises:
        MismatchError: They differ; the message names both sides of each difference.
    """
    if differ := _differences(got, expected):
        sides = "; ".join(f"{name}: {_short(got, name)} here, {_short(expected, name)} there" for name in differ)
        raise MismatchError(
            f"The embeddings come from {got.name}, but {where} holds those of {expected.name} ({sides}).", hint=hint
        )


def _short(spec: BackboneSpec, name: str) -> str:
    value = str(getattr(spec, name))
    return value[:12] if name == "fingerprint" else value

"""What an embedding was made by, and the refusal to mix two of them."""

import dataclasses
from typing import Any, Self

from frieze.core import MismatchError

MADE_ELSEWHERE = "made elsewhere"
"""Stands for fit, pixels and decoding of vectors that were imported."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """Everything that decides what an image's embedding is.

    Attributes:
        name: Short name for people, such as `mobilenet_v2_100_224`.
        handle: What to type after `--backbone` to get it again.
        fingerprint: sha256 (hex) over the saved files or the weights.
        dim: Width D of an embedding, >= 1.
        image_size: Height and width in pixels of what the network sees.
        fit: How an image meets that size: `squash`, `crop` or `pad`.
        pixels: Range of the pixels handed to the network, such as `-1..1`.
        layer: The layer or output that is read; None for the last one.
        weights: What to type after `--weights` to get it again; None where the handle says it all.
        precision: `float32` unless asked for less.
        decoding: Version of the road from bytes to pixels; another one gives other vectors.
        drift: How far the engine's vectors are from the reference's in float32, measured on some of the images; None
            where the reference itself made them.
    """

    name: str
    handle: str
    fingerprint: str
    dim: int
    image_size: tuple[int, int]
    fit: str = "squash"
    pixels: str = "0..1"
    layer: str | None = None
    weights: str | None = None
    precision: str = "float32"
    decoding: str = "none"
    drift: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the spec as plain JSON values."""
        stored = dataclasses.asdict(self) | {"image_size": list(self.image_size)}
        return {name: value for name, value in stored.items() if name != "drift" or value is not None}

    @property
    def is_made_elsewhere(self) -> bool:
        """Whether the vectors were imported: nothing here can make another of them."""
        return self.decoding == MADE_ELSEWHERE

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read what `to_json` gave; fields of later versions are left aside."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in stored.items() if key in known}
        return cls(**values | {"image_size": tuple(values["image_size"])})


_IDENTITY = ("fingerprint", "dim", "image_size", "fit", "pixels", "layer", "precision", "decoding")
"""Two embeddings may meet only when these agree; names and handles are for people."""


def is_same_backbone(one: BackboneSpec, other: BackboneSpec) -> bool:
    """Tell whether the embeddings of two specs may meet."""
    return not _differences(one, other)


def _differences(one: BackboneSpec, other: BackboneSpec) -> list[str]:
    return [name for name in _IDENTITY if getattr(one, name) != getattr(other, name)]


def check_same_backbone(got: BackboneSpec, wanted: BackboneSpec, *, where: str, hint: str) -> None:
    """Refuse two specs whose embeddings must not meet.

    Args:
        got: The one that comes.
        wanted: The one that is there.
        where: What holds the wanted one, for the message.
        hint: What to type.

    Raises:
        MismatchError: They differ; the message names both sides of each difference.
    """
    if differ := _differences(got, wanted):
        sides = "; ".join(f"{name}: {_short(got, name)} here, {_short(wanted, name)} there" for name in differ)
        raise MismatchError(
            f"The embeddings come from {got.name}, but {where} holds those of {wanted.name} ({sides}).", hint=hint
        )


def _short(spec: BackboneSpec, name: str) -> str:
    value = str(getattr(spec, name))
    return value[:12] if name == "fingerprint" else value

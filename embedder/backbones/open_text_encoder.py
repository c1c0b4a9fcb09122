"""Opens the text tower that belongs to a backbone, and checks that it is the stored one."""

from pathlib import Path

from frieze.core import InputError, MismatchError
from frieze.embedder.backbones.catalogue import KERASHUB
from frieze.embedder.backbones.kerashub import open_preset_text_encoder
from frieze.embedder.backbones.onnx_text_encoder import fingerprint_of_onnx_text_encoder, open_onnx_text_encoder
from frieze.embedder.backbones.saved_model import has_model
from frieze.embedder.backbones.saved_model_text_encoder import (
    fingerprint_of_saved_model_text_encoder,
    open_saved_model_text_encoder,
)
from frieze.embedder.backbones.text_encoder import TextEncoder
from frieze.features import BackboneSpec

WITH_WORDS = "a preset of CLIP or SigLIP (kerashub:siglip_base_patch16_224), or any network with its text tower"
"""What knows words, for messages."""


def open_text_encoder(spec: BackboneSpec, *, where: str) -> TextEncoder:
    """Open the text tower of a backbone.

    Args:
        spec: The stored spec.
        where: What stores it, for messages.

    Raises:
        InputError: The backbone has no text tower, or a library is missing.
        ModelError: Its text tower no longer exists.
        MismatchError: Another one has its name now.
    """
    if spec.text_encoder is None:
        raise InputError(
            f"{where} was made with {spec.name}, which knows no words.",
            hint=f"Embed with {WITH_WORDS}: frieze embed SOURCE --backbone SPEC --text-encoder FOLDER --out FEATURES;"
            " then index again.",
        )
    handle, expected = spec.text_encoder["handle"], spec.text_encoder["fingerprint"]
    encoder = _open(handle)
    if encoder.fingerprint != expected:
        raise MismatchError(
            f"The text tower {handle} is another one than {where} was made with"
            f" ({encoder.fingerprint[:12]} here, {expected[:12]} there).",
            hint=f"Put the first one back at {handle}, or run `frieze embed` and `frieze index` again: they"
            " store the new one, and embed nothing again.",
        )
    return encoder


def describe_text_encoder(path: str, *, dim: int) -> dict[str, str]:
    """Open the text tower at a path, and return what a spec stores of it.

    Args:
        path: Its ONNX file, or the folder of that or of its SavedModel.
        dim: Width of the images' embeddings.

    Raises:
        ModelError: It can't be used.
        MismatchError: Its vectors have another width.
    """
    encoder = _open(str(Path(path).absolute()))
    width = encoder.encode(["a photo"]).shape[1]
    if width != dim:
        raise MismatchError(
            f"The text tower {path} makes vectors of width {width}, the backbone of width {dim}.",
            hint="Pass the text tower that was trained with this backbone, both with their projections.",
        )
    return {"handle": str(Path(path).absolute()), "fingerprint": encoder.fingerprint}


def has_stored_text_encoder(path: str | None, spec: BackboneSpec) -> bool:
    """Return whether the text tower at a path is the one of a stored spec; True without a path.

    Raises:
        ModelError: There is none at the path.
    """
    if path is None:
        return True
    stored = spec.text_encoder or {}
    digest = fingerprint_of_saved_model_text_encoder if _is_saved_model(path) else fingerprint_of_onnx_text_encoder
    return stored.get("fingerprint") == digest(Path(path))


def _open(handle: str) -> TextEncoder:
    if handle.startswith(KERASHUB):
        return open_preset_text_encoder(handle)
    return (open_saved_model_text_encoder if _is_saved_model(handle) else open_onnx_text_encoder)(Path(handle))


def _is_saved_model(path: str) -> bool:
    """Return whether a path is the folder of a SavedModel; an ONNX file beside it goes first."""
    return has_model(Path(path)) and not any(Path(path).glob("*.onnx"))

"""Export of the built-in backbone as a TensorFlow Hub module."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from frieze import core, terminal
from frieze.api.export_folder import N_SAMPLES, check_out, count_bytes, draw_samples, write_document

_LEAST_COSINE = 0.9999  # as another engine's vectors are held to


def export_built_in(out: Path, *, force: bool) -> dict[str, Any]:
    """Write the built-in backbone in the form of a TensorFlow Hub module.

    Args:
        out: Folder of the SavedModel.
        force: Replace an exported model that is there.

    Returns:
        `out`, `backbone`, `dim`, `checked` (images), `least_cosine` between the embeddings of both, `bytes`, `seconds`.

    Raises:
        InputError: `out` can't be replaced.
        ModelError: The SavedModel can't be written, or gives other embeddings.
    """
    import frieze.embedder

    started = time.perf_counter()
    check_out(out, force=force)
    with terminal.spinner("Exporting"):
        trainable = frieze.embedder.open_trainable(frieze.embedder.BackboneRequest(), unfreeze="all")
        with core.new_folder(out, replace=force) as folder:
            trainable.save(folder)
            fields = {
                "backbone": trainable.spec.to_json(),
                "checked": N_SAMPLES,
                "least_cosine": _least_cosine(folder),
            }
            write_document(folder, fields)
    return fields | {
        "out": str(out),
        "backbone": trainable.spec.name,
        "dim": trainable.spec.dim,
        "bytes": count_bytes(out),
        "seconds": time.perf_counter() - started,
    }


def _least_cosine(folder: Path) -> float:
    """Load the SavedModel again, and compare its embeddings with those of `embed` on the same images."""
    import frieze.embedder

    original = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest())
    written = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest(handle=str(folder)))
    images = draw_samples(original.spec.image_size).astype(np.float32) / 255
    expected, actual = (core.unit_rows(np.asarray(one.call(images))) for one in (original, written))
    least = float((expected * actual).sum(axis=1).min())
    if least < _LEAST_COSINE:
        raise core.ModelError(
            f"The exported backbone is not {original.spec.name}: one of its embeddings has a cosine of {least:.6f} to"
            f" the network's own; it must be at least {_LEAST_COSINE}.",
            hint="Nothing was written. Use it itself: frieze embed SOURCE --backbone builtin --out FEATURES",
        )
    return least

"""The built-in backbone as a SavedModel of its own."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from frieze import core
from frieze import terminal as output
from frieze.api.export_folder import N_SAMPLES, check_out, count_bytes, draw_samples, write_document

_LEAST_COSINE = 0.9999  # as another engine's vectors are held to


def export_built_in(place: Path, *, force: bool) -> dict[str, Any]:
    """Write the built-in backbone in the form of a TensorFlow Hub module.

    Args:
        place: Folder of the SavedModel.
        force: Replace an exported model that is there.

    Returns:
        `out`, `backbone`, `dim`, `checked` (images), `least_cosine` between the embeddings of both, `bytes`, `seconds`.

    Raises:
        InputError: The place is taken.
        ModelError: It can't be written.
    """
    import frieze.embedder

    started = time.perf_counter()
    check_out(place, force=force)
    with output.waiting("Exporting"):
        trunk = frieze.embedder.open_trainable(frieze.embedder.BackboneRequest(), unfreeze="all")
        with core.new_folder(place, replace=force) as folder:
            trunk.save(folder)
            facts = {
                "backbone": trunk.spec.to_json(),
                "checked": N_SAMPLES,
                "least_cosine": _least_cosine(folder),
            }
            write_document(folder, facts)
    return facts | {
        "out": str(place),
        "backbone": trunk.spec.name,
        "dim": trunk.spec.dim,
        "bytes": count_bytes(place),
        "seconds": time.perf_counter() - started,
    }


def _least_cosine(folder: Path) -> float:
    """Load what was written again, and hold it against what `embed` runs on the same pictures."""
    import frieze.embedder

    own = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest())
    written = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest(handle=str(folder)))
    images = draw_samples(own.spec.image_size).astype(np.float32) / 255
    ours, theirs = (core.unit_rows(np.asarray(one.call(images))) for one in (own, written))
    least = float((ours * theirs).sum(axis=1).min())
    if least < _LEAST_COSINE:
        raise core.ModelError(
            f"The exported backbone is not {own.spec.name}: one of its embeddings has a cosine of {least:.6f} to the"
            f" network's own; at least {_LEAST_COSINE} is right.",
            hint="Nothing was written. Use --backbone builtin itself.",
        )
    return least

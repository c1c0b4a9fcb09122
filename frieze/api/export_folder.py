"""What every exported model has: a folder that is free, a file that says it is ours, pictures it is checked on."""

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frieze import core

NAME = "export.json"
"""Says of a SavedModel that it is ours, and what is in it."""

N_SAMPLES = 16
"""Pictures that it is held against its original on."""

MEND = "Export it again: frieze export HEAD --out MODEL --force"

_CONTRACT = 1
_FILES = re.compile(
    rf"{re.escape(NAME)}|saved_model\.pb|fingerprint\.pb|assets|variables|variables/variables\.(index|data-[\d-]+of-\d+)"
)
_LIBRARIES = ("frieze", "keras", "tensorflow")


def check_out(place: Path, *, force: bool) -> None:
    """Make sure that an exported model may be written.

    Raises:
        FeatureFileError: Something else stands there, or an exported model and nobody said that it may go.
    """
    core.check_free(place, replace=force)
    if not place.exists():
        return
    if not _is_export(place):
        raise core.FeatureFileError(
            f"{place} is there already and holds no exported model.",
            hint="Give another --out: --force replaces exported models only.",
        )
    names = ((path, path.relative_to(place).as_posix()) for path in place.rglob("*"))
    foreign = min((path for path, name in names if not _FILES.fullmatch(name)), default=None)
    if foreign is not None:
        raise core.FeatureFileError(
            f"{place} is not replaced: {foreign} is no part of an exported model.",
            hint="Move it elsewhere, or give another --out.",
        )


def _is_export(place: Path) -> bool:
    try:
        return core.read_json(place / NAME, hint="").get("kind") == "export"
    except core.FeatureFileError:
        return False


def write_document(folder: Path, facts: dict[str, Any]) -> None:
    """Write export.json into an exported model's folder."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    core.write_with_checksums(folder, NAME, {"contract": _CONTRACT, "kind": "export", "versions": versions} | facts)


def read_document(place: core.TablePath) -> dict[str, Any]:
    """Read export.json of an exported model.

    Raises:
        FeatureFileError: It is missing, altered, or of a later version.
    """
    document = core.read_json(place / NAME, hint=MEND)
    contract = document.get("contract")
    if isinstance(contract, int) and contract > _CONTRACT:
        raise core.FeatureFileError(
            f"{place} is an exported model of contract {contract}; this version reads up to {_CONTRACT}.",
            hint="Upgrade with: pip install --upgrade frieze",
        )
    core.check_own_checksum(place / NAME, document, hint=MEND)
    if document.get("kind") != "export":
        raise core.FeatureFileError(f"{place / NAME} does not belong to an exported model.", hint=MEND)
    return document


def count_bytes(place: Path) -> int:
    """Add up what an exported model takes on disk."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def draw_samples(image_size: tuple[int, int]) -> np.ndarray:
    """Draw smooth pictures, the same every time: uint8 [n, H, W, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (N_SAMPLES, 6, 6, 3), dtype=np.uint8)
    size = image_size[::-1]
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in coarse])

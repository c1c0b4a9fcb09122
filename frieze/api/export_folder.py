"""What exported models share: the check of their folder, export.json, and the sample images that verify them."""

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frieze import core

NAME = "export.json"
"""File that marks a SavedModel as exported by us, and describes it."""

N_SAMPLES = 16
"""How many images the model and its original are compared on."""

EXPORT_HINT = "Export it again: frieze export HEAD --out MODEL --force"

_CONTRACT = 1
_FILES = re.compile(
    rf"{re.escape(NAME)}|saved_model\.pb|fingerprint\.pb|assets|variables|variables/variables\.(index|data-[\d-]+of-\d+)"
)
_LIBRARIES = ("frieze", "keras", "tensorflow")


def check_out(out: Path, *, force: bool) -> None:
    """Check that an exported model may be written to a folder.

    Raises:
        FeatureFileError: It holds something else, or an exported model and `force` is off.
    """
    core.check_free(out, replace=force)
    core.check_holds_only(
        out, ("export",), "an exported model", is_part=lambda path: _FILES.fullmatch(path.as_posix()) is not None
    )


def write_document(folder: Path, fields: dict[str, Any]) -> None:
    """Write export.json into an exported model's folder."""
    core.write_with_checksums(folder, NAME, describe_export(fields))


def describe_export(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what an exported model says of itself: its contract, the versions of libraries, and the given fields."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"contract": _CONTRACT, "kind": "export", "versions": versions} | fields


def read_document(folder: core.TablePath) -> dict[str, Any]:
    """Read export.json of an exported model.

    Raises:
        FeatureFileError: It is missing, altered, or of a later version.
    """
    document = core.read_json(folder / NAME, hint=EXPORT_HINT)
    contract = document.get("contract")
    if isinstance(contract, int) and contract > _CONTRACT:
        raise core.FeatureFileError(
            f"{folder} is an exported model of contract {contract}; this version reads up to {_CONTRACT}.",
            hint="Upgrade with: pip install --upgrade frieze",
        )
    core.check_own_checksum(folder / NAME, document, hint=EXPORT_HINT)
    if document.get("kind") != "export":
        raise core.FeatureFileError(f"{folder / NAME} does not belong to an exported model.", hint=EXPORT_HINT)
    return document


def count_bytes(path: Path) -> int:
    """Return the size of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def draw_samples(image_size: tuple[int, int]) -> np.ndarray:
    """Return smooth random images, the same every time: uint8 [n, H, W, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (N_SAMPLES, 6, 6, 3), dtype=np.uint8)
    size = image_size[::-1]
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in coarse])

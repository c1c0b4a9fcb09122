"""sha256 over the saved files or the weights: the same hex digits mean the same network."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import ModelError, hash_file
from frieze.embedder.backbones.catalogue import BUILT_IN, BUILT_IN_FILE, BUILT_IN_NAME
from frieze.embedder.backbones.request import MODEL_FILES, BackboneRequest

_SAVED = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb", "variables/*", "assets/*")


def model_folder(path: Path) -> Path:
    """Give the folder of a SavedModel: the path, or `saved_model` in it, where fine-tuning puts it beside its head."""
    inner = path / "saved_model"
    return path if (path / "saved_model.pb").is_file() or not (inner / "saved_model.pb").is_file() else inner


def files_of_saved_model(folder: Path) -> list[Path]:
    """List what TensorFlow reads of a SavedModel, sorted."""
    return sorted(path for pattern in _SAVED for path in folder.glob(pattern) if path.is_file())


def of_saved_model(folder: Path) -> str:
    """Hash what TensorFlow reads of a SavedModel; notes and thumbnails beside it do not count."""
    total = hashlib.sha256()
    for path in files_of_saved_model(folder):
        total.update(f"{path.relative_to(folder)}:{hash_file(path)}\n".encode())
    return total.hexdigest()


def of_weights(name: str, weights: Iterable[Any]) -> str:
    """Hash a network's name with its weights, in order."""
    total = hashlib.sha256(name.encode())
    for weight in weights:
        values = np.ascontiguousarray(weight)
        total.update(f"{values.shape}:{values.dtype}".encode())
        total.update(values.data)
    return total.hexdigest()


def of_file(name: str, path: Path) -> str:
    """Hash a network's name with its file of weights.

    Raises:
        ModelError: There is no such file.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", hint="Check the path of the weights.")
    return hashlib.sha256(f"{name}:{hash_file(path)}".encode()).hexdigest()


def without_loading(request: BackboneRequest) -> str | None:
    """Give the fingerprint a request would have where local files decide it; None where only loading tells."""
    path = Path(request.handle)
    if request.handle == BUILT_IN:
        return of_file(BUILT_IN_NAME, BUILT_IN_FILE)
    if path.is_dir():
        return of_saved_model(model_folder(path))
    if path.suffix in MODEL_FILES and path.is_file():
        return of_file("", path)
    if request.weights_path is not None:
        return of_file(request.handle, request.weights_path)
    return None

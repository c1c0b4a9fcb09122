"""Fingerprint of a network: sha256 over its saved files or weights, as hex digits."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import ModelError, hash_file
from frieze.embedder.backbones.catalogue import BUILTIN, BUILTIN_FILE, BUILTIN_NAME, KERASHUB
from frieze.embedder.backbones.hub_cache import module_dir
from frieze.embedder.backbones.onnx_files import hash_model
from frieze.embedder.backbones.request import MODEL_FILES, ONNX, BackboneRequest, preset_folder

_SAVED = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb", "variables/*", "assets/*")


def model_folder(path: Path) -> Path:
    """Return the folder of a SavedModel: the path, or `saved_model` in it, as fine-tuning stores it."""
    inner = path / "saved_model"
    return path if (path / "saved_model.pb").is_file() or not (inner / "saved_model.pb").is_file() else inner


def files_of_saved_model(folder: Path) -> list[Path]:
    """List the files of a SavedModel that TensorFlow reads, sorted."""
    return sorted(path for pattern in _SAVED for path in folder.glob(pattern) if path.is_file())


def of_saved_model(folder: Path) -> str:
    """Hash the files of a SavedModel that TensorFlow reads; other files beside them do not count."""
    total = hashlib.sha256()
    for path in files_of_saved_model(folder):
        total.update(f"{path.relative_to(folder)}:{hash_file(path)}\n".encode())
    return total.hexdigest()


def of_weights(name: str, weights: Iterable[Any]) -> str:
    """Hash the name of a network with its weights, in order."""
    total = hashlib.sha256(name.encode())
    for weight in weights:
        values = np.ascontiguousarray(weight)
        total.update(f"{values.shape}:{values.dtype}".encode())
        total.update(values.data)
    return total.hexdigest()


_NOT_IN_PRESET = ("metadata.json", "README.md", "task.json", "task.weights.h5")
"""Files of a KerasHub preset that do not decide embeddings: a date, a text, and the classifier on top."""


def of_preset(folder: Path) -> str:
    """Hash the files of a KerasHub preset that decide the embeddings of images and texts."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in _NOT_IN_PRESET)
    return of_files({path.relative_to(folder).as_posix(): path for path in files})


def of_files(files: dict[str, Path], before: str = "") -> str:
    """Hash files with their names, in the order of the names, after a text."""
    lines = (f"{name}:{hash_file(path)}\n" for name, path in sorted(files.items()))
    return hashlib.sha256(f"{before}{''.join(lines)}".encode()).hexdigest()


def of_file(name: str, path: Path) -> str:
    """Hash the name of a network with its file of weights.

    Raises:
        ModelError: The file does not exist.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", hint="Check the path of the weights.")
    return hashlib.sha256(f"{name}:{hash_file(path)}".encode()).hexdigest()


def fingerprint_of_files(request: BackboneRequest) -> str | None:
    """Return the fingerprint of a request if local files decide it; None if the network has to be loaded."""
    path = Path(request.handle)
    if (preset := preset_folder(request.handle)) is not None:
        return of_preset(preset)
    if request.handle == BUILTIN:
        return of_file(BUILTIN_NAME, BUILTIN_FILE)
    if path.is_dir():
        return of_saved_model(model_folder(path))
    if "://" in request.handle and not request.handle.startswith(KERASHUB):
        module = module_dir(request.handle)
        return of_saved_model(module) if files_of_saved_model(module) else None
    if path.suffix in (*MODEL_FILES, ONNX) and path.is_file():
        return hash_model(path.absolute()) if path.suffix == ONNX else of_file("", path)
    return None if request.weights_path is None else of_file(request.handle, request.weights_path)

"""The figures on the card of a network: accuracy, training set, versions."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import frieze
from frieze.features import open_features, top_k

_LIBRARIES = ("frieze", "keras", "numpy", "openvino", "pillow", "tensorflow", "torch")


def nearest_accuracy(network: Path, images: Path) -> float:
    """Return the leave-one-out cosine 1-NN accuracy of a `.keras` file on a folder of one folder a class."""
    with tempfile.TemporaryDirectory() as folder:
        frieze.embed(images, out=f"{folder}/features", backbone=str(network), pixels="0..1")
        table = open_features(f"{folder}/features")
        labels, vectors = np.asarray(table.labels), table.embeddings()
    nearest, _ = top_k(vectors, vectors, k=2)  # one of the two is the image itself
    rows = np.arange(len(labels))
    other = np.where(nearest[:, 0] == rows, nearest[:, 1], nearest[:, 0])
    return float((labels[other] == labels).mean())


def hash_names(images: Sequence[Path], pool: Path) -> str:
    """Return the sha256 of the training set: each image's path below the pool, and its bytes."""
    total = hashlib.sha256()
    for path in images:
        total.update(f"{path.relative_to(pool)}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def versions() -> dict[str, Any]:
    """Return the versions of the libraries."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}

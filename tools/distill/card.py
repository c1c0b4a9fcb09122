"""How good a network's vectors are, and the card that says so."""

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
    """Give the leave-one-out cosine 1-NN accuracy of a `.keras` file on a folder of one folder a class."""
    with tempfile.TemporaryDirectory() as folder:
        frieze.embed(images, out=f"{folder}/features", backbone=str(network), pixels="0..1")
        table = open_features(f"{folder}/features")
        labels, vectors = np.asarray(table.labels), table.embeddings()
    nearest, _ = top_k(vectors, vectors, k=2)  # one of them is the image itself
    own = np.arange(len(labels))
    other = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])
    return float((labels[other] == labels).mean())


def hash_names(images: Sequence[Path], pool: Path) -> str:
    """Give the sha256 of what is learnt from: each image's path below the pool, and its bytes."""
    total = hashlib.sha256()
    for path in images:
        total.update(f"{path.relative_to(pool)}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def versions() -> dict[str, Any]:
    """Give the versions of what took part."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}

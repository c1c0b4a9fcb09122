"""What averaging the views of an image gains and costs: 1-NN accuracy, and images a second of the network.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.views   prints docs/benchmarks.md's table.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA
from benchmarks.embedding.contestants import model
from benchmarks.tables import run_passages, show
from frieze.features import open_features, top_k

SETS = ("imagenette_val", "flowers5_128")
BACKBONES = {"builtin": "builtin", "mobilenet_v2_100_224": str(model("mobilenet_v2_100_224"))}
VIEWS = {"none": "", "flip": "flip", "five-crop": "five-crop"}


def nearest(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Return the leave-one-out cosine 1-NN accuracy."""
    rows, _ = top_k(embeddings, embeddings, k=2)
    other = np.where(rows[:, 0] == np.arange(len(rows)), rows[:, 1], rows[:, 0])
    return float((labels[other] == labels).mean())


def measure(name: str, backbone: str, folder: Path) -> Iterator[list[object]]:
    """Yield a row of the table for each kind of views, all embedded in one pass."""
    outs = [folder / f"{name}-{backbone}-{views}" for views in VIEWS]
    frieze.embed(DATA / "images" / name, out=outs, backbone=BACKBONES[backbone], views=list(VIEWS.values()))
    tables = [open_features(out) for out in outs]
    rates = [table.manifest.tuning["images_per_second"] for table in tables]
    for views, table, rate in zip(VIEWS, tables, rates, strict=True):
        accuracy = nearest(table.embeddings(), np.array(table.labels, object))
        yield [name, backbone, views, accuracy, f"{rate:,.0f}", f"{rates[0] / rate:.1f}"]


def views(folder: Path) -> None:
    """Print the table."""
    rows = [row for name in SETS for backbone in BACKBONES for row in measure(name, backbone, folder)]
    show("embed views", "images | backbone | views | 1-NN | images/s, the network alone | times the work", rows)


if __name__ == "__main__":
    run_passages({"views": views})

"""What averaging the views of an image gains and costs: 1-NN accuracy, and images a second of the network.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.views   prints docs/benchmarks.md's table.
"""

import statistics
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA
from benchmarks.embedding.contestants import ROUNDS, model
from benchmarks.tables import run_passages, show
from frieze.embedder import BackboneRequest, default_engine, measure_rate, open_backbone
from frieze.features import open_features, top_k

SETS = ("imagenette_val", "flowers5_128")
BACKBONES = {"builtin": "builtin", "mobilenet_v2_100_224": str(model("mobilenet_v2_100_224"))}
VIEWS = {"none": "", "flip": "flip", "five-crop": "five-crop"}


def nearest(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Return the leave-one-out cosine 1-NN accuracy."""
    rows, _ = top_k(embeddings, embeddings, k=2)
    other = np.where(rows[:, 0] == np.arange(len(rows)), rows[:, 1], rows[:, 0])
    return float((labels[other] == labels).mean())


def accuracies(name: str, backbone: str, folder: Path) -> list[float]:
    """Return the accuracy by each kind of views, all embedded in one pass."""
    outs = [folder / f"{name}-{backbone}-{views}" for views in VIEWS]
    frieze.embed(DATA / "images" / name, out=outs, backbone=BACKBONES[backbone], views=list(VIEWS.values()))
    tables = [open_features(out) for out in outs]
    return [nearest(table.embeddings(), np.array(table.labels, object)) for table in tables]


def rates(backbone: str) -> list[float]:
    """Return images a second of the network alone, by each kind of views: the median of turns."""
    handle = BACKBONES[backbone]
    backbones = [open_backbone(BackboneRequest(handle=handle, views=views or None)) for views in VIEWS.values()]
    pixels = np.random.default_rng(0).integers(0, 256, (64, *backbones[0].spec.image_size, 3), np.uint8)
    engines = [default_engine(one) for one in backbones]
    turns = [[measure_rate(engine, pixels, seconds=1) for engine in engines] for _ in range(ROUNDS)]
    return [statistics.median(turn) for turn in zip(*turns, strict=True)]


def views(folder: Path) -> None:
    """Print the table."""
    rows = []
    for backbone in BACKBONES:
        columns = [accuracies(name, backbone, folder) for name in SETS]
        for kind, *figures, rate in zip(VIEWS, *columns, rates(backbone), strict=True):
            rows.append([backbone, kind, *figures, f"{rate:,.0f}"])
    show(
        "embed views",
        f"backbone | views | {' | '.join(f'1-NN {name}' for name in SETS)} | images/s, the network alone",
        rows,
    )


if __name__ == "__main__":
    run_passages({"views": views})

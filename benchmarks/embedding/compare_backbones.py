"""`frieze compare --backbones` on a sample, beside the same figures of all images: is the ranking the same?

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.compare_backbones   prints docs/benchmarks.md's table.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import frieze
from benchmarks import DATA
from benchmarks.embedding.contestants import model
from benchmarks.tables import run_passages, show
from frieze.classifiers import score_labelled
from frieze.features import open_features

SETS = ("imagenette_val", "flowers5_128", "cifar10_test_webdataset")
BACKBONES = ["builtin", str(model("mobilenet_v2_100_224")), str(model("mobilenet_v1_025_128"))]
NAMES = ("linear", "nearest_neighbour")
SAMPLE = 500


def measure_all(source: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Embed all images of a set in one pass; return handle -> figures."""
    outs = [folder / f"{source.name}-{number}.features" for number in range(len(BACKBONES))]
    frieze.embed(source, out=outs, backbone=BACKBONES)
    tables = [open_features(out) for out in outs]
    return {
        backbone: score_labelled(table.embeddings(), np.array(table.labels, object))
        for backbone, table in zip(BACKBONES, tables, strict=True)
    }


def is_best(figures: dict[str, dict[str, Any]], name: str) -> str:
    """Return the handle of the highest accuracy."""
    return max(figures, key=lambda handle: figures[handle][name]["accuracy"])


def agreement(sampled: dict[str, dict[str, Any]], whole: dict[str, dict[str, Any]], name: str) -> str:
    """Say whether the best is the same, and how many of the pairs that the sample tells apart are in the same order."""
    apart = [
        (better, worse)
        for better in BACKBONES
        for worse in BACKBONES
        if sampled[better][name]["confidence_interval"][0] > sampled[worse][name]["confidence_interval"][1]
    ]
    same = sum(whole[better][name]["accuracy"] > whole[worse][name]["accuracy"] for better, worse in apart)
    best = "the same best" if is_best(sampled, name) == is_best(whole, name) else "another best"
    return f"{best}, {same} of {len(apart)} pairs told apart in the same order"


def compare_set(name: str, folder: Path, notes: list[str]) -> Iterator[list[object]]:
    """Yield a row of the table for each backbone on a set of images."""
    source = DATA / "images" / name
    document = frieze.compare(str(source), backbones=BACKBONES, sample=SAMPLE)
    sampled = {row["handle"]: row for row in document["rows"]}
    whole = measure_all(source, folder)
    agreed = "; ".join(f"{what.replace('_', ' ')}: {agreement(sampled, whole, what)}" for what in NAMES)
    advice = document["advice"].replace(f"{DATA / 'backbones'}/", "").replace("/saved_model", "")
    notes.append(f"{name}: {agreed}. It says: {advice}")
    for handle, row in sampled.items():
        short = Path(handle).parent.name or handle
        figures = [f"{row[one]['accuracy']:.3f} / {whole[handle][one]['accuracy']:.3f}" for one in NAMES]
        yield [name, f"{document['images']:,}", short, *figures, row["images_per_second"]]


def compare_backbones(folder: Path) -> None:
    """Print the table."""
    notes: list[str] = []
    header = f"images | n | backbone | linear, {SAMPLE} / all | 1-NN, {SAMPLE} / all | images/s, estimated"
    rows = [row for name in SETS for row in compare_set(name, folder, notes)]
    show("compare backbones", header, rows, *notes, digits=0)


if __name__ == "__main__":
    run_passages({"compare_backbones": compare_backbones})

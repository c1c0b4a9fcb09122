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


def ranking(figures: dict[str, dict[str, Any]], name: str) -> list[str]:
    """Return the handles, the most accurate first."""
    return sorted(figures, key=lambda handle: figures[handle][name]["accuracy"], reverse=True)


def compare_set(name: str, folder: Path, advice: list[str]) -> Iterator[list[object]]:
    """Yield a row of the table for each backbone on a set of images."""
    source = DATA / "images" / name
    document = frieze.compare(str(source), backbones=BACKBONES, sample=SAMPLE)
    sampled = {row["handle"]: row for row in document["rows"]}
    whole = measure_all(source, folder)
    same = ["yes" if ranking(sampled, one) == ranking(whole, one) else "no" for one in NAMES]
    advice.append(
        f"{name}: {document['advice'].replace(str(DATA / 'backbones') + '/', '').replace('/saved_model', '')}"
    )
    for handle, row in sampled.items():
        short = Path(handle).parent.name or handle
        figures = [f"{row[one]['accuracy']:.3f} / {whole[handle][one]['accuracy']:.3f}" for one in NAMES]
        yield [name, f"{document['images']:,}", short, *figures, row["images_per_second"], " / ".join(same)]


def compare_backbones(folder: Path) -> None:
    """Print the table."""
    advice: list[str] = []
    header = (
        f"images | n | backbone | linear, {SAMPLE} / all | 1-NN, {SAMPLE} / all | images/s, estimated |"
        " same ranking, linear / 1-NN"
    )
    rows = [row for name in SETS for row in compare_set(name, folder, advice)]
    show("compare backbones", header, rows, *advice, digits=0)


if __name__ == "__main__":
    run_passages({"compare_backbones": compare_backbones})

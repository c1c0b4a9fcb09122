"""Do prediction sets hold the label as often as they say, and does drift stay silent on images that are alike?

Usage: FRIEZE_DATA=... python -m benchmarks.heads.prediction_sets [sets|drift]   prints tables of docs/benchmarks.md.

Twenty splits of each set: 30 % of the images are new and unknown to the head, which is trained on the rest (3,000 at
most) and holds a fifth of these out. `sets`: how often the set of a new image holds its label, over all and in the
worst class, beside what the head says of itself. `drift`: how often it finds drift in the new images, and in other
photographs.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks.embedding.accuracy import embed as embed_set
from benchmarks.tables import run_passages, show
from frieze.classifiers import Head, measure_drift, prediction_sets
from frieze.core import Rows
from frieze.features import Features

BACKBONE, SETS = "mobilenet_v1_025_128", ("imagenette_val", "flowers5_128", "cifar10_test_webdataset")
CONFIDENCES = (0.9, 0.95)
N_SPLITS, NEW_SHARE, MAX_LABELLED = 20, 0.3, 3_000


def write_labels(path: Path, table: Features, rows: Rows) -> None:
    """Write the labels of some rows of a table to a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *zip(table.ids[rows], table.labels[rows], strict=True)])


def train_on_part(table: Features, folder: Path, seed: int) -> tuple[Head, Rows]:
    """Train a head on most of 70 % of a table; return it, and the row numbers of the other images."""
    rng = np.random.default_rng(seed)
    is_new = rng.random(len(table)) < NEW_SHARE
    labels = folder / "labels.csv"
    write_labels(labels, table, rng.permutation(np.flatnonzero(~is_new))[:MAX_LABELLED])
    frieze.train(table.path, out=folder / "head", labels=labels, label="label", seed=seed, force=True)
    return frieze.open_head(folder / "head"), np.flatnonzero(is_new)


def sets(folder: Path) -> None:
    """Print how often prediction sets hold the label."""
    header = "set | confidence | accuracy | sets hold the label | the head says | worst class | mean size"
    note = f"Means of {N_SPLITS} splits, linear head on {BACKBONE}; the worst class by its mean."
    show("protocol sets", header, _set_rows(folder), note)


def _set_rows(folder: Path) -> Iterator[list[object]]:
    for name in SETS:
        table = embed_set(folder, name, BACKBONE)
        figures = np.array(
            [list(_coverage(table, folder, seed)) for seed in range(N_SPLITS)]
        )  # [splits, confidences, ...]
        for confidence, values in zip(CONFIDENCES, figures.mean(axis=0), strict=True):
            accuracy, covered, stated, size, *by_class = values.tolist()
            yield [name, confidence, accuracy, covered, stated, min(by_class), f"{size:.2f}"]


def _coverage(table: Features, folder: Path, seed: int) -> Iterator[list[float]]:
    """Yield of each confidence accuracy, coverage, stated coverage, mean size, and the coverage of each class."""
    head, new = train_on_part(table, folder, seed)
    probabilities, codes = head.probabilities(table.embeddings()[new]), np.searchsorted(head.classes, table.labels[new])
    accuracy = float((probabilities.argmax(axis=1) == codes).mean())
    for confidence in CONFIDENCES:
        is_in = prediction_sets(probabilities, head.held_out.thresholds(head.classes, confidence))
        is_covered = is_in[np.arange(len(codes)), codes]
        stated = head.held_out.coverage(head.classes, confidence)
        of_classes = [float(is_covered[codes == code].mean()) for code in range(len(head.classes))]
        yield [accuracy, float(is_covered.mean()), stated, float(is_in.sum(axis=1).mean()), *of_classes]


def drift(folder: Path) -> None:
    """Print how often drift is found, and how many images are unfamiliar."""
    header = "head of | images | drift found in | of the splits by familiarity | by classes | unfamiliar images"
    show(
        "protocol drift",
        header,
        _drift_rows(folder),
        f"{N_SPLITS} splits, linear head on {BACKBONE}; 5 % are expected.",
    )


def _drift_rows(folder: Path) -> Iterator[list[object]]:
    tables = {name: embed_set(folder, name, BACKBONE) for name in SETS}
    for name, table in tables.items():
        results: dict[str, list[dict[str, object]]] = {"new ones of the set": []} | {
            other: [] for other in SETS if other != name
        }
        for seed in range(N_SPLITS):
            train_on_part(table, folder, seed)
            for images, drifts in results.items():
                drifts.append(measure_drift(folder / "head", tables.get(images, table)))
        for images, drifts in results.items():
            tests = [[one[test]["is_different"] for one in drifts] for test in ("familiarity_test", "class_test")]
            shares = [one["unfamiliar_share"] for one in drifts]
            n_found = sum(one["has_drifted"] for one in drifts)
            yield [name, images, n_found, *map(sum, tests), f"{100 * np.mean(shares):.1f} %"]


if __name__ == "__main__":
    run_passages({"sets": sets, "drift": drift})

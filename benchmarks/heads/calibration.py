"""Accuracy, calibration error and abstention of heads over ten splits of photographs.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.calibration [heads|prototype|kernel]

Prints tables of docs/benchmarks.md.

`heads`: ten splits (seeds 0 to 9, a fifth held out); beside the heads scikit-learn's LogisticRegression with its
defaults on the features as stored. On so few rows even a perfectly calibrated head has a calibration error: labels
are drawn 200 times a split from the head's probabilities, and the 95th percentile of that error is printed.
`prototype`: that head beside scikit-learn's NearestCentroid, on four splits of three sets.
`kernel`: does the RBF kernel pay? Heads on two sets and two backbones, three splits each.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import frieze
from benchmarks.embedding.accuracy import embed as embed_set
from benchmarks.tables import run_passages, show
from frieze.core import Floats, Rows, unit_rows
from frieze.features import Features

BACKBONE, SETS = "mobilenet_v2_100_224", ("imagenette_val", "flowers5_128")
HEADS = ("linear", "svm")
N_SPLITS, N_DRAWN, N_BINS, PRECISION, PERCENTILE = 10, 200, 15, 0.95, 95
HEADER = (
    "set | head | accuracy | calibration error | of a perfect one, 95th percentile | answered at .95 | right of these"
)


def one_split(head: str, table: Features, folder: Path, seed: int) -> list[float]:
    """Train a head and return its figures."""
    out = folder / "head"
    trained = frieze.train(table.path, out=out, head=head, seed=seed, abstain=PRECISION, force=True)
    _, test = split_rows(table, out)
    confidences = frieze.open_head(out).probabilities(table.embeddings()[test]).max(axis=1)
    precision = trained["abstain"]["precision_on_test"]
    figures = [trained["accuracy"], trained["expected_calibration_error"], perfect_error(confidences, seed)]
    return [*figures, trained["abstain"]["coverage"], np.nan if precision is None else precision]


def split_rows(table: Features, head: Path) -> tuple[Rows, Rows]:
    """Return the rows that a head was fitted on, and the held-out rows."""
    part_of = {row["id"]: row["part"] for row in pq.read_table(head / "split.parquet").to_pylist()}
    parts_by_row = np.array([part_of[name] for name in table.ids])
    return np.flatnonzero(parts_by_row == "train"), np.flatnonzero(parts_by_row == "test")


def perfect_error(confidences: Floats, seed: int) -> float:
    """Simulate the calibration error of a perfectly calibrated head; return its 95th percentile."""
    rng = np.random.default_rng(seed)
    bins = np.ceil(confidences * N_BINS).astype(int) - 1
    gaps = [
        np.abs(np.bincount(bins, weights=confidences - (rng.random(len(bins)) < confidences), minlength=N_BINS)).sum()
        for _ in range(N_DRAWN)
    ]
    return float(np.percentile(gaps, PERCENTILE)) / len(bins)


def default_accuracy(table: Features, head: Path) -> float:
    """Return the accuracy of LogisticRegression with its defaults, on the head's split."""
    from sklearn.linear_model import LogisticRegression

    train, test = split_rows(table, head)
    embeddings, labels = table.embeddings(), table.labels.astype(str)
    model = LogisticRegression(max_iter=1_000).fit(embeddings[train], labels[train])
    return float((model.predict(embeddings[test]) == labels[test]).mean())


def rows(folder: Path) -> Iterator[list[object]]:
    """Yield the table's rows: means over the splits."""
    for name in SETS:
        table, baseline = embed_set(folder, name, BACKBONE), []
        for head in HEADS:
            figures = []
            for seed in range(N_SPLITS):
                figures.append(one_split(head, table, folder, seed))
                baseline += [default_accuracy(table, folder / "head")] if head == HEADS[0] else []
            yield [name, head, *(f"{value:.4f}" for value in np.nanmean(figures, axis=0))]
        yield [name, "LogisticRegression, defaults", f"{np.mean(baseline):.4f}", *[""] * 4]


def heads(folder: Path) -> None:
    """Print the heads beside LogisticRegression."""
    show("protocol", HEADER, rows(folder), f"Means of {N_SPLITS} splits, backbone {BACKBONE}.")


CENTROID_BACKBONE, CENTROID_SETS = "mobilenet_v1_025_128", ("flowers5_128", "flowers_ccby_200", "imagenette_val")
CENTROID_SEEDS = range(4)
CENTROID_ROWS = ("prototype", "NearestCentroid", "NearestCentroid, unit rows")


def prototype(folder: Path) -> None:
    """Print the prototype head beside NearestCentroid, on the stored rows and on rows of unit length."""
    header = "set | by | " + " | ".join(f"split {seed}" for seed in CENTROID_SEEDS) + " | mean"
    show("protocol prototype", header, _prototype_rows(folder), f"Backbone {CENTROID_BACKBONE}.")


def _prototype_rows(folder: Path) -> Iterator[list[object]]:
    for name in CENTROID_SETS:
        table, accuracies = embed_set(folder, name, CENTROID_BACKBONE), []
        embeddings = table.embeddings()
        for seed in CENTROID_SEEDS:
            trained = frieze.train(table.path, out=folder / "head", head="prototype", seed=seed, force=True)
            split = split_rows(table, folder / "head")
            centroids = [
                _centroid_accuracy(rows, table.labels.astype(str), split)
                for rows in (embeddings, unit_rows(embeddings))
            ]
            accuracies.append([trained["accuracy"], *centroids])
        for method, values in zip(CENTROID_ROWS, np.transpose(accuracies).tolist(), strict=True):
            yield [name, method, *values, float(np.mean(values))]


def _centroid_accuracy(embeddings: Floats, labels: np.ndarray, split: tuple[Rows, Rows]) -> float:
    """Return the accuracy of scikit-learn's NearestCentroid with its defaults."""
    from sklearn.neighbors import NearestCentroid

    train, test = split
    model = NearestCentroid().fit(embeddings[train], labels[train])
    return float((model.predict(embeddings[test]) == labels[test]).mean())


KERNEL_BACKBONES, KERNEL_SEEDS = ("mobilenet_v1_025_128", "builtin"), range(3)
KERNEL_HEADS = ("linear", "svm", "svm-rbf", "knn")


def kernel(folder: Path) -> None:
    """Print the accuracy of heads with and without a kernel."""
    note = f"Means of {len(KERNEL_SEEDS)} splits."
    show(
        "protocol kernel",
        f"set | backbone | {' | '.join(KERNEL_HEADS)} | svm-rbf less linear",
        _kernel_rows(folder),
        note,
    )


def _kernel_rows(folder: Path) -> Iterator[list[object]]:
    for name in SETS:
        for backbone in KERNEL_BACKBONES:
            path = embed_set(folder, name, backbone).path
            by_seed = [
                {row["head"]: row["accuracy"] for row in frieze.compare(path, heads=KERNEL_HEADS, seed=seed)["rows"]}
                for seed in KERNEL_SEEDS
            ]
            means = {head: float(np.mean([one[head] for one in by_seed])) for head in KERNEL_HEADS}
            yield [name, backbone, *means.values(), f"{means['svm-rbf'] - means['linear']:+.3f}"]


PASSAGES = {"heads": heads, "prototype": prototype, "kernel": kernel}

if __name__ == "__main__":
    run_passages(PASSAGES)

"""Whether a head's figures can be believed: accuracy, calibration and abstaining over ten splits of photographs.

Usage: FRIEZE_DATA=... python benchmarks/protocol.py [heads|prototype]   prints tables of docs/benchmarks.md (minutes).

On each of ten splits (seeds 0 to 9, a fifth held out): the heads to protocol, and scikit-learn's LogisticRegression
with its defaults on the features as they are stored. The calibration error of a perfectly calibrated head is not zero
on so few rows: for each split labels are drawn 200 times from the head's own probabilities, and the 95th percentile of
the error is told. `prototype`: that head beside scikit-learn's NearestCentroid, on four splits of three sets.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from accuracy import embed as embed_set
from report import run_passages, show

import frieze
from frieze.core import Floats, Rows, unit_rows
from frieze.features import Features

BACKBONE, SETS = "mobilenet_v2_100_224", ("imagenette_val", "flowers5_128")
HEADS = ("linear", "svm")
N_SPLITS, N_DRAWN, N_BINS, PRECISION, PERCENTILE = 10, 200, 15, 0.95, 95
HEADER = (
    "set | head | accuracy | calibration error | of a perfect one, 95th percentile | answered at .95 | right of these"
)


def one_split(head: str, table: Features, folder: Path, seed: int) -> list[float]:
    """Train a head and give its figures."""
    out = folder / "head"
    told = frieze.train(table.path, out=out, head=head, seed=seed, abstain=PRECISION, force=True)
    _, test = parts(table, out)
    confidences = frieze.open_head(out).probabilities(table.embeddings()[test]).max(axis=1)
    share = told["abstain"]["precision_on_test"]
    figures = [told["accuracy"], told["expected_calibration_error"], perfect(confidences, seed)]
    return [*figures, told["abstain"]["coverage"], np.nan if share is None else share]


def parts(table: Features, head: Path) -> tuple[Rows, Rows]:
    """Give the rows that a head was fitted on, and those that were held out."""
    told = {row["id"]: row["part"] for row in pq.read_table(head / "split.parquet").to_pylist()}
    of_rows = np.array([told[name] for name in table.ids])
    return np.flatnonzero(of_rows == "train"), np.flatnonzero(of_rows == "test")


def perfect(confidences: Floats, seed: int) -> float:
    """Simulate the calibration error of a head whose probabilities are true."""
    rng = np.random.default_rng(seed)
    bins = np.ceil(confidences * N_BINS).astype(int) - 1
    gaps = [
        np.abs(np.bincount(bins, weights=confidences - (rng.random(len(bins)) < confidences), minlength=N_BINS)).sum()
        for _ in range(N_DRAWN)
    ]
    return float(np.percentile(gaps, PERCENTILE)) / len(bins)


def default(table: Features, head: Path) -> float:
    """Give the accuracy of LogisticRegression with its defaults, on the rows that a head was trained on."""
    from sklearn.linear_model import LogisticRegression

    train, test = parts(table, head)
    embeddings, labels = table.embeddings(), table.labels.astype(str)
    model = LogisticRegression(max_iter=1_000).fit(embeddings[train], labels[train])
    return float((model.predict(embeddings[test]) == labels[test]).mean())


def rows(folder: Path) -> Iterator[list[object]]:
    """Give the table's rows, means over the splits."""
    for name in SETS:
        table, judged = embed_set(folder, name, BACKBONE), []
        for head in HEADS:
            figures = []
            for seed in range(N_SPLITS):
                figures.append(one_split(head, table, folder, seed))
                judged += [default(table, folder / "head")] if head == HEADS[0] else []
            yield [name, head, *(f"{value:.4f}" for value in np.nanmean(figures, axis=0))]
        yield [name, "LogisticRegression, defaults", f"{np.mean(judged):.4f}", *[""] * 4]


def heads(folder: Path) -> None:
    """Print the heads to protocol."""
    show("protocol", HEADER, rows(folder), f"Means of {N_SPLITS} splits, backbone {BACKBONE}.")


CENTROID_BACKBONE, CENTROID_SETS = "mobilenet_v1_025_128", ("flowers5_128", "flowers_ccby_200", "imagenette_val")
CENTROID_SEEDS = range(4)
CENTROID_ROWS = ("prototype", "NearestCentroid", "NearestCentroid, unit rows")


def prototype(folder: Path) -> None:
    """Print the prototype head beside NearestCentroid on the rows as they are, and on rows of unit length."""
    header = "set | by | " + " | ".join(f"split {seed}" for seed in CENTROID_SEEDS) + " | mean"
    show("protocol prototype", header, _prototype_rows(folder), f"Backbone {CENTROID_BACKBONE}.")


def _prototype_rows(folder: Path) -> Iterator[list[object]]:
    for name in CENTROID_SETS:
        table, found = embed_set(folder, name, CENTROID_BACKBONE), []
        embeddings = table.embeddings()
        for seed in CENTROID_SEEDS:
            told = frieze.train(table.path, out=folder / "head", head="prototype", seed=seed, force=True)
            split = parts(table, folder / "head")
            centroids = [
                _by_centroid(one, table.labels.astype(str), split) for one in (embeddings, unit_rows(embeddings))
            ]
            found.append([told["accuracy"], *centroids])
        for by, accuracies in zip(CENTROID_ROWS, np.transpose(found).tolist(), strict=True):
            yield [name, by, *accuracies, float(np.mean(accuracies))]


def _by_centroid(embeddings: Floats, labels: np.ndarray, split: tuple[Rows, Rows]) -> float:
    """Give the accuracy of scikit-learn's NearestCentroid with its defaults."""
    from sklearn.neighbors import NearestCentroid

    train, test = split
    model = NearestCentroid().fit(embeddings[train], labels[train])
    return float((model.predict(embeddings[test]) == labels[test]).mean())


PASSAGES = {"heads": heads, "prototype": prototype}

if __name__ == "__main__":
    run_passages(PASSAGES)

"""Does the forecast of a learning curve hold the accuracy that more training images bring?

Usage: FRIEZE_DATA=... python -m benchmarks.heads.learning_curves   prints a table of docs/benchmarks.md.

Forty cases: five numbers of labelled images of two sets, eight draws each. `frieze train --learning-curve` on these
forecasts the accuracy with twice and four times as many training images; the truth is that of heads trained on so many,
on all images that no head knows.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks.embedding.accuracy import embed as embed_set
from benchmarks.heads.prediction_sets import write_labels
from benchmarks.tables import run_passages, show
from frieze.core import Rows
from frieze.features import Features

BACKBONE = "mobilenet_v1_025_128"
CASES = {"flowers5_128": (300, 500, 900), "cifar10_test_webdataset": (500, 2_000)}
N_DRAWS, TIMES = 8, (1, 2, 4)


def curves(folder: Path) -> None:
    """Print how often intervals hold the truth, and how far forecasts are from it."""
    header = (
        "set | labelled images | times | accuracy | forecast | intervals that hold it | mean width | error of the gain"
    )
    note = f"Means of {N_DRAWS} draws, linear head on {BACKBONE}; the last column is root mean square."
    show("protocol curves", header, _rows(folder), note)


def _rows(folder: Path) -> Iterator[list[object]]:
    results = []
    for name, sizes in CASES.items():
        table = embed_set(folder, name, BACKBONE)
        for size in sizes:
            cases = np.array([_one_case(table, folder, size, seed) for seed in range(N_DRAWS)])  # [draws, times, 5]
            results.append(cases)
            for times, of_times in zip(TIMES[1:], cases.transpose(1, 0, 2), strict=True):
                yield [name, size, times, *_summary(of_times)]
    everything = np.concatenate(results)
    for times, of_times in zip(TIMES[1:], everything.transpose(1, 0, 2), strict=True):
        yield ["all", "", times, *_summary(of_times)]


def _summary(cases: np.ndarray) -> list[object]:
    truth, forecast, low, high, error = cases.T
    n_held = int(((low <= truth) & (truth <= high)).sum())
    width = float((high - low).mean())
    return [
        float(truth.mean()),
        float(forecast.mean()),
        f"{n_held} of {len(cases)}",
        width,
        float((error**2).mean() ** 0.5),
    ]


def _one_case(table: Features, folder: Path, size: int, seed: int) -> list[list[float]]:
    """Return of each multiple the true accuracy, the forecast with its bounds, and the error of the forecast gain."""
    order = np.random.default_rng(seed).permutation(len(table))
    unknown = order[TIMES[-1] * size :]
    trained = [_train(table, folder, order[: times * size], seed, has_curve=times == 1) for times in TIMES]
    truths = [_accuracy(table, out, unknown) for out, _ in trained]
    curve = trained[0][1]["learning_curve"]
    now = curve["points"][-1]["accuracy"]
    return [
        [truth, one["accuracy"], one["low"], one["high"], (one["accuracy"] - now) - (truth - truths[0])]
        for truth, one in zip(truths[1:], curve["forecast"], strict=True)
    ]


def _train(table: Features, folder: Path, rows: Rows, seed: int, *, has_curve: bool) -> tuple[Path, dict]:
    """Train a head on some labelled rows, a fifth of them held out."""
    labels, out = folder / "labels.csv", folder / f"head-{len(rows)}"
    write_labels(labels, table, rows)
    return out, frieze.train(
        table.path, out=out, labels=labels, label="label", seed=seed, learning_curve=has_curve, force=True
    )


def _accuracy(table: Features, head: Path, rows: Rows) -> float:
    predictions, _ = frieze.open_head(head).predict(table.embeddings()[rows])
    return float((predictions == table.labels[rows]).mean())


if __name__ == "__main__":
    run_passages({"curves": curves})

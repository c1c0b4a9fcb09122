"""Whether fine-tuning is worth its hours: against the linear probe on the same held-out photographs, and by neighbours.

Usage: FRIEZE_DATA=... python benchmarks/finetuning.py [seeds|cache]   prints the tables of docs/benchmarks.md.

`seeds` (half an hour on two cores): three seeds, MobileNetV2 at 128 x 128 on flowers5_128, its last block and its
last four blocks free.
Neighbours: each held-out image is given the label of its nearest training image, by the backbone as it was and by the
fine-tuned one that `frieze embed --backbone MODEL` takes. `cache`: seconds of an epoch with and without `--cache`, no
augmentation, one seed; the first epoch, which compiles, does not count.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from accuracy import DATA
from report import show

import frieze
from features import Features, open_features, unit_rows

WEIGHTS = DATA / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
IMAGES, SIDE_PX = "flowers5_128", 128
BLOCK, BLOCKS = "block_16_expand", "block_13_expand"
SEEDS = (0, 1, 2)


def embed(folder: Path) -> Features:
    """Embed the photographs by the backbone as it is."""
    out = folder / "before.features"
    options = {"backbone": "keras:MobileNetV2", "weights": str(WEIGHTS), "image_size": SIDE_PX}
    frieze.embed(DATA / "images" / IMAGES, out=out, **options)
    return open_features(out)


def nearest_accuracy(table: Features, parts: dict[str, str]) -> float:
    """Give the share of held-out images whose nearest training image has their label."""
    unit, labels = unit_rows(table.embeddings()), table.labels
    is_test = np.array([parts[name] == "test" for name in table.ids])
    nearest = (unit[is_test] @ unit[~is_test].T).argmax(axis=1)
    return float((labels[~is_test][nearest] == labels[is_test]).mean())


def one_seed(before: Features, folder: Path, first: str, seed: int) -> list[float]:
    """Fine-tune once: accuracy of probe and model, their calibration errors, and by neighbours before and after."""
    model, after = folder / f"{first}-{seed}.model", folder / f"{first}-{seed}.features"
    told = frieze.finetune(before.path, out=model, unfreeze=first, seed=seed)
    frieze.embed(DATA / "images" / IMAGES, out=after, backbone=str(model))
    parts = {row["id"]: row["part"] for row in pq.read_table(model / "split.parquet").to_pylist()}
    tables = (before, open_features(after))
    errors = (told["probe"]["expected_calibration_error"], told["expected_calibration_error"])
    near = [nearest_accuracy(table, parts) for table in tables]
    return [told["probe_accuracy"], told["accuracy"], *told["confidence_interval"], *errors, *near, told["best_epoch"]]


def seeds(folder: Path) -> None:
    """Print accuracies by what is free and by seed, and their means."""
    before = embed(folder)
    header = (
        "free from | seed | probe | fine-tuned | its interval | calibration error of both | 1-NN before | 1-NN after"
        " | best epoch"
    )
    show("finetuning seeds", header, _by_seed(before, folder), f"{IMAGES}, {SIDE_PX} x {SIDE_PX}.")


def _by_seed(before: Features, folder: Path) -> Iterator[list[Any]]:
    for first in (BLOCK, BLOCKS):
        found = []
        for seed in SEEDS:
            found.append(one_seed(before, folder, first, seed))
            yield [first, *_row(str(seed), found[-1])]
        yield [first, *_row("mean", np.mean(found, axis=0).tolist())]


def _row(name: str, figures: list[float]) -> list[Any]:
    probe, tuned, low, high, was, now, before, after, epoch = figures
    return [name, probe, tuned, f"{low:.3f} to {high:.3f}", f"{was:.3f}, {now:.3f}", before, after, f"{epoch:.3g}"]


def cache(folder: Path) -> None:
    """Print seconds of an epoch without and with what the frozen part makes kept."""
    before = embed(folder)
    told = [
        frieze.finetune(
            before.path, out=folder / f"{kept}.model", unfreeze=BLOCK, augment=False, cache=kept, patience=9
        )
        for kept in (False, True)
    ]
    per_epoch = [float(np.median([epoch["seconds"] for epoch in one["history"][2:]])) for one in told]
    rows = [
        [name, seconds, per_epoch[0] / seconds, one["accuracy"], one["probe_accuracy"], one["seconds"]]
        for name, seconds, one in zip(("images", "kept maps"), per_epoch, told, strict=True)
    ]
    show("finetuning cache", "learns from | seconds an epoch | times faster | accuracy | probe | seconds in all", rows)


PASSAGES = {"seeds": seeds, "cache": cache}


def main() -> None:
    """Run the passages asked for, or all."""
    for name in sys.argv[1:] or PASSAGES:
        with tempfile.TemporaryDirectory(prefix="frieze-finetuning-") as folder:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()

"""From class vectors to a trained head: few images per class, with and without `train --start-from`.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.start_weights     prints a table of docs/benchmarks.md.

No network with a text tower and real weights is part of the data. In place of the words' vectors stand the means of the
images of each class in a third of the set that is neither trained on nor tested, times CLIP's logit scale of 100. Of
the second third some images per class are trained on, and the last third is tested; ten times, in orders of fixed
seeds.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.embedding.accuracy import embed as embed_set
from benchmarks.tables import run_passages, show
from frieze.classifiers import HeadConfig, StartWeights, fit_head
from frieze.core import Floats, Rows, Strings, unit_rows

SETS = {"imagenette_val": "mobilenet_v2_100_224", "flowers5_128": "mobilenet_v1_025_128"}
SHOTS, N_DRAWS, LOGIT_SCALE = (1, 2, 4, 8, 16, None), 10, 100.0
HEADER = "set | images per class | class vectors alone | from zero | from the class vectors | start used in"


def means(embeddings: Floats, labels: Strings, where: Path) -> StartWeights:
    """Return unit class means as the weights of a head."""
    classes = np.unique(labels)
    vectors = unit_rows(np.stack([embeddings[labels == name].mean(axis=0) for name in classes]))
    return StartWeights(where, classes, vectors * np.float32(LOGIT_SCALE), np.zeros(len(classes), np.float32))


def draw(labels: Strings, shots: int | None, seed: int) -> Rows:
    """Draw some rows of each class; all of them for None."""
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(labels == name))[:shots] for name in np.unique(labels)]
    return np.concatenate(rows)


def one_draw(embeddings: Floats, labels: Strings, shots: int | None, seed: int, where: Path) -> list[float]:
    """Return the accuracy of the class vectors, from zero and from the start, and whether the start was used."""
    order = np.random.default_rng(seed).permutation(len(labels))
    thirds = [(embeddings[order[number::3]], labels[order[number::3]]) for number in range(3)]
    (train, train_labels), (test, test_labels) = thirds[1:]
    start, rows = means(*thirds[0], where), draw(train_labels, shots, seed)
    zero, _ = fit_head(HeadConfig("linear"), train[rows], train_labels[rows])
    started, tuned = fit_head(HeadConfig("linear", start=start), train[rows], train_labels[rows])
    decisions = [test @ start.coef.T, zero.logits(test), started.logits(test)]
    return [*(float((start.classes[one.argmax(axis=1)] == test_labels).mean()) for one in decisions), tuned.uses_start]


def rows(folder: Path) -> Iterator[list[object]]:
    """Yield the table's rows: means over the draws."""
    for name, backbone in SETS.items():
        table = embed_set(folder, name, backbone)
        embeddings, labels = unit_rows(table.embeddings()), table.labels.astype(object)
        for shots in SHOTS:
            results = [one_draw(embeddings, labels, shots, seed, folder) for seed in range(N_DRAWS)]
            *figures, used = np.mean(results, axis=0).tolist()
            yield [name, shots or "all", *figures, f"{round(used * N_DRAWS)} of {N_DRAWS}"]


def main(folder: Path) -> None:
    """Print the table."""
    show("start weights", HEADER, rows(folder))


if __name__ == "__main__":
    run_passages({"start": main})

"""`frieze duplicates`: precision and recall on photographs, time and memory for a million images.

Usage: FRIEZE_DATA=... python -m benchmarks.search.duplicates [groups|scale]   prints the tables of docs/benchmarks.md
(scale takes some minutes, and writes and removes 4 GB).
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA, FRIEZE
from benchmarks.embedding.scale import run
from benchmarks.tables import show
from frieze.core import Floats, Rows
from frieze.features import METRICS

BACKBONES = ("mobilenet_v2_100_224", "mobilenet_v1_025_128", "builtin")
EDITED, UNEDITED = "neardup_ccby", ("imagenette_val", "flowers_ccby_200")
N_ROWS, DIM, N_CLUSTERS, N_PLANTED, N_SAMPLED = 1_000_000, 128, 10_000, 50_000, 2_000


def duplicates(images: Path, backbone: str, folder: Path) -> dict[str, object]:
    """Embed and index a folder of photographs; return its duplicates at the default score.

    The table is `folder`/IMAGES-BACKBONE.features.
    """
    stored = DATA / "backbones" / backbone / "saved_model"
    table, index = folder / f"{images.name}-{backbone}.features", folder / f"{images.name}-{backbone}.index"
    frieze.embed(images, out=table, backbone=str(stored) if stored.exists() else backbone)
    frieze.index(table, out=index)
    return frieze.duplicates(index)


def pairs_of(groups: Iterator[list[str]]) -> set[tuple[str, str]]:
    """Return every pair inside a group."""
    return {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}


def group_rows(folder: Path) -> Iterator[list[object]]:
    """Yield precision and recall on photographs with edits, and the counts of groups on photographs without."""
    text = (DATA / "images" / EDITED / "groundtruth.json").read_text(encoding="utf-8")
    true_pairs = pairs_of([one["query"], *one["positives"]] for one in json.loads(text).values())
    for backbone, images in itertools.product(BACKBONES, (EDITED, *UNEDITED)):
        results = duplicates(DATA / "images" / images, backbone, folder)
        pairs = pairs_of(group["ids"] for group in results["groups"])
        row = [backbone, images, results["rows"], results["min_score"], len(results["groups"])]
        largest = max((len(group["ids"]) for group in results["groups"]), default=0)
        shares = [len(pairs & true_pairs) / len(part) for part in (pairs, true_pairs)] if images == EDITED else ["", ""]
        yield [*row, largest, *shares]


def vectors() -> tuple[Floats, Rows]:
    """Draw vectors in clusters on a curved sheet of 16 dimensions; every twentieth is an edit of another.

    Returns:
        float32 [N, 128], and the rows of the edits: each some hundredths away from its original.
    """
    rng = np.random.default_rng(0)
    widen, centres = rng.normal(size=(16, DIM)) / 4, rng.normal(size=(N_CLUSTERS, 16))
    embeddings = np.empty((N_ROWS, DIM), np.float32)
    for block in np.array_split(np.arange(N_ROWS), 20):
        inner = centres[rng.integers(0, N_CLUSTERS, len(block))] + 0.4 * rng.normal(size=(len(block), 16))
        embeddings[block] = np.tanh(inner @ widen) + 0.02 * rng.normal(size=(len(block), DIM))
    edits, originals = np.split(rng.permutation(N_ROWS)[: 2 * N_PLANTED], 2)
    away = rng.uniform(0, 0.08, (N_PLANTED, 1)) * rng.normal(size=(N_PLANTED, DIM))
    embeddings[edits] = embeddings[originals[rng.integers(0, N_PLANTED, N_PLANTED)]] + away
    return embeddings, edits


def pair_recall(embeddings: Floats, rows: Rows, results: dict[str, object]) -> tuple[float, int]:
    """Scan all rows for the pairs of some; return the share of pairs inside a group, and the number of pairs."""
    groups = np.arange(len(embeddings))
    for number, group in enumerate([*results["groups"], *results["look_alikes"]]):  # no pixels: all look alike
        groups[np.array(group["ids"], dtype=np.int64)] = len(embeddings) + number
    right = n_pairs = 0
    for start in range(0, len(embeddings), 10_000):
        others = np.arange(start, min(start + 10_000, len(embeddings)))
        scores = METRICS["cosine"](embeddings[rows], embeddings[others])
        near = (scores >= results["min_score"]) & (rows[:, None] != others)
        n_pairs += int(near.sum())
        right += int((near & (groups[rows][:, None] == groups[others])).sum())
    return right / max(1, n_pairs), n_pairs


def scale_rows(folder: Path) -> Iterator[list[object]]:
    """Time the command as a whole process, and compare its groups with an exact scan of a sample."""
    embeddings, edits = vectors()
    np.save(folder / "v.npy", embeddings)
    frieze.import_vectors(folder / "v.npy", out=folder / "t.features")
    start = time.perf_counter()
    kind = frieze.index(folder / "t.features", out=folder / "t.index")["kind"]
    yield [f"`frieze index`, {N_ROWS:,} x {DIM}: {kind}", f"{time.perf_counter() - start:,.0f}", "", "", "", ""]
    text, seconds, peak = run(FRIEZE, "duplicates", folder / "t.index", "--json")
    results = json.loads(text)
    recall, n_pairs = pair_recall(embeddings, edits[:N_SAMPLED], results)
    figures = [f"{seconds:,.0f}", f"{peak:,.0f}", results["min_score"], f"{len(results['look_alikes']):,}"]
    yield ["`frieze duplicates`", *figures, f"{recall:.4f} of {n_pairs:,}"]


def main() -> None:
    """Print the tables named on the command line, or all."""
    names = sys.argv[1:] or ["groups", "scale"]
    with tempfile.TemporaryDirectory(prefix="frieze-duplicates-") as folder:
        if "groups" in names:
            header = "backbone | images | n | score | groups | largest | precision of pairs | recall of pairs"
            show("duplicates groups", header, group_rows(Path(folder)))
        if "scale" in names:
            header = "what | seconds | peak MB | score | groups | recall of pairs"
            show("duplicates scale", header, scale_rows(Path(folder)))


if __name__ == "__main__":
    main()

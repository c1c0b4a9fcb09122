"""`frieze duplicates`: precision and recall on photographs, time and memory for a million images.

Usage: FRIEZE_DATA=... python -m benchmarks.search.duplicates [groups|scale|candidates]   prints the tables of
docs/benchmarks.md (scale and candidates take some minutes each, and write and remove 4 GB).
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
from frieze.features import HASHES, METRICS, BackboneSpec, Manifest, Shard, open_writer, part_schema, to_part

BACKBONES = ("mobilenet_v2_100_224", "mobilenet_v1_025_128", "builtin")
EDITED, UNEDITED = "neardup_ccby", ("imagenette_val", "flowers_ccby_200")
MAX_FLIPPED = 8
FIND = """
import sys
from frieze.indexing import find_duplicates, open_index
read = (lambda *_: None) if sys.argv[2] == "with" else None
print(find_duplicates(open_index(sys.argv[1]), read=read)["n_compared"])
"""
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


def vectors() -> tuple[Floats, Rows, Rows]:
    """Draw vectors in clusters on a curved sheet of 16 dimensions; every twentieth is an edit of another.

    Returns:
        float32 [N, 128], the rows of the edits, each some hundredths away from its original, and of these.
    """
    rng = np.random.default_rng(0)
    widen, centres = rng.normal(size=(16, DIM)) / 4, rng.normal(size=(N_CLUSTERS, 16))
    embeddings = np.empty((N_ROWS, DIM), np.float32)
    for block in np.array_split(np.arange(N_ROWS), 20):
        inner = centres[rng.integers(0, N_CLUSTERS, len(block))] + 0.4 * rng.normal(size=(len(block), 16))
        embeddings[block] = np.tanh(inner @ widen) + 0.02 * rng.normal(size=(len(block), DIM))
    edits, originals = np.split(rng.permutation(N_ROWS)[: 2 * N_PLANTED], 2)
    away = rng.uniform(0, 0.08, (N_PLANTED, 1)) * rng.normal(size=(N_PLANTED, DIM))
    originals = originals[rng.integers(0, N_PLANTED, N_PLANTED)]
    embeddings[edits] = embeddings[originals] + away
    return embeddings, edits, originals


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
    embeddings, edits, _ = vectors()
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


def write_with_hashes(path: Path) -> None:
    """Store those vectors with perceptual hashes: random ones, of edits those of the original but for some bits."""
    embeddings, edits, originals = vectors()
    rng = np.random.default_rng(1)
    hashes = rng.integers(1, 1 << 63, N_ROWS, dtype=np.uint64)
    bits = np.uint64(1) << rng.integers(0, 63, (N_PLANTED, MAX_FLIPPED), dtype=np.uint64)
    bits[np.arange(MAX_FLIPPED) >= rng.integers(0, MAX_FLIPPED + 1, (N_PLANTED, 1))] = 0
    hashes[edits] = hashes[originals] ^ np.bitwise_xor.reduce(bits, axis=1)
    spec = BackboneSpec(name="made", handle="", fingerprint="made", dim=DIM, image_size=(1, 1))
    schema = part_schema(spec, [])
    with open_writer(path, Manifest(spec=spec, source="made")) as writer:
        for part, rows in enumerate(np.array_split(np.arange(N_ROWS), 20)):
            names = [str(row) for row in rows.tolist()]
            known = {"id": names, "uri": names, "sha256": [f"{row:064}" for row in rows.tolist()]}
            known |= dict.fromkeys(HASHES, hashes[rows])
            columns = {name: known.get(name, [None] * len(rows)) for name in schema.names}
            writer.commit(Shard(part, rows), to_part(columns, embeddings[rows], schema))


def candidate_rows(folder: Path) -> Iterator[list[object]]:
    """Time the search for pairs that may be copies, none of which can be read, and that for look-alikes alone."""
    write_with_hashes(folder / "h.features")
    frieze.index(folder / "h.features", out=folder / "h.index", kind="ivf")
    for name, label in (("without", "look-alikes alone"), ("with", "candidates for copies, too")):
        text, seconds, peak = run(sys.executable, "-c", FIND, folder / "h.index", name)
        yield [label, f"{seconds:,.0f}", f"{peak:,.0f}", f"{int(text):,}"]


def main() -> None:
    """Print the tables named on the command line, or all."""
    names = sys.argv[1:] or ["groups", "scale", "candidates"]
    with tempfile.TemporaryDirectory(prefix="frieze-duplicates-") as folder:
        if "groups" in names:
            header = "backbone | images | n | score | groups | largest | precision of pairs | recall of pairs"
            show("duplicates groups", header, group_rows(Path(folder)))
        if "scale" in names:
            header = "what | seconds | peak MB | score | groups | recall of pairs"
            show("duplicates scale", header, scale_rows(Path(folder)))
        if "candidates" in names:
            show("duplicates candidates", "what | seconds | peak MB | pairs", candidate_rows(Path(folder)))


if __name__ == "__main__":
    main()

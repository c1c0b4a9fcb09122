"""How long one waits where no network runs: help, a re-run with nothing to do, a search by id; whole processes.

Usage: python benchmarks/start.py   prints the table of docs/benchmarks.md (100,000 files are made and removed again).
"""

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from report import show

import frieze
from frieze.embedder import Listing, SourceOptions, open_source
from frieze.features import LISTING, FeatureWriter, Manifest, Shard, open_features, open_writer, part_schema, to_part

N_FILES, N_FOLDERS, DIM, PART_ROWS = 100_000, 100, 256, 4096
SCRIPT = Path(sys.executable).with_name("frieze")


def write_files(folder: Path) -> None:
    """Write small files that claim to be JPEGs; they are listed, never decoded."""
    for number in range(N_FILES):
        path = folder / f"{number % N_FOLDERS:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff" + str(number).encode())


def vectors(n_rows: int) -> np.ndarray:
    """Draw float32 [N, 256] in 1,000 clusters on a sheet of 8 dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, 8))
    points = centres[rng.integers(0, 1000, n_rows)] + 0.3 * rng.normal(size=(n_rows, 8))
    return (points @ rng.normal(size=(8, DIM))).astype(np.float32)


def write_table(source: Path, out: Path) -> None:
    """Store a vector for each file as an unbroken run would have."""
    one = out.with_name("one")
    (one / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(one / "images" / "a.png")
    frieze.embed(one / "images", out=one / "table")
    made = open_features(one / "table").manifest
    spec = dataclasses.replace(made.spec, dim=DIM)
    listing = open_source(source, SourceOptions()).listing
    with open_writer(out, Manifest(spec=spec, source=listing.source, request=made.request)) as writer:
        _fill(writer, listing, vectors(len(listing.images)))


def _fill(writer: FeatureWriter, listing: Listing, embeddings: np.ndarray) -> None:
    schema = part_schema(writer.manifest.spec)
    for part, start in enumerate(range(0, len(embeddings), PART_ROWS)):
        rows = np.arange(start, min(start + PART_ROWS, len(embeddings)))
        images = listing.images.take(rows)
        facts = {"sha256": images["id"], "width": [1] * len(rows), "height": [1] * len(rows)}
        columns = {name: images[name] for name in LISTING.names} | facts
        writer.commit(Shard(part, rows), to_part(columns, embeddings[rows], schema))


def median_seconds(*words: str) -> float:
    """Time a command as a whole process, median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([SCRIPT, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rows(folder: Path) -> Iterator[list[object]]:
    """Time the three commands."""
    source, table, index = folder / "images", folder / "t.features", folder / "t.index"
    write_files(source)
    write_table(source, table)
    subprocess.run([SCRIPT, "index", table, "--out", index], check=True)  # index.py here hides the package
    yield ["`frieze --help`", median_seconds("--help")]
    again = median_seconds("embed", str(source), "--out", str(table))
    yield [f"`frieze embed` again on a finished table of {N_FILES:,} images", again]
    found = median_seconds("search", str(index), "id:07/000007.jpg", "--json")
    yield [f"`frieze search INDEX id:NAME`, {N_FILES:,} x {DIM}", found]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="frieze-start-") as folder:
        show("start", "what | seconds, median of 5", rows(Path(folder)), digits=2)


if __name__ == "__main__":
    main()

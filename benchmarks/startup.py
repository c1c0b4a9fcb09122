"""Latency of commands that run no network, as whole processes: help, a re-run with nothing to do, a search by id.

Usage: python -m benchmarks.startup   prints the table of docs/benchmarks.md (writes and removes 100,000 files).
"""

import dataclasses
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import frieze
from benchmarks import FRIEZE
from benchmarks.tables import show
from frieze.embedder import Listing, SourceOptions, open_source
from frieze.features import LISTING, FeatureWriter, Manifest, Shard, open_features, open_writer, part_schema, to_part

N_FILES, N_FOLDERS, DIM, PART_ROWS = 100_000, 100, 256, 4096


def write_files(folder: Path) -> None:
    """Write small files with the magic bytes of a JPEG; they are listed, never decoded."""
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
    """Store a vector for each file, as an uninterrupted run would."""
    sample = out.with_name("sample")
    (sample / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(sample / "images" / "a.png")
    frieze.embed(sample / "images", out=sample / "table")
    manifest = open_features(sample / "table").manifest
    spec = dataclasses.replace(manifest.spec, dim=DIM)
    listing = open_source(source, SourceOptions()).listing
    with open_writer(out, Manifest(spec=spec, source=listing.source, request=manifest.request)) as writer:
        _fill(writer, listing, vectors(len(listing.images)))


def _fill(writer: FeatureWriter, listing: Listing, embeddings: np.ndarray) -> None:
    schema = part_schema(writer.manifest.spec)
    for part, start in enumerate(range(0, len(embeddings), PART_ROWS)):
        rows = np.arange(start, min(start + PART_ROWS, len(embeddings)))
        images = listing.images.take(rows)
        facts = {"sha256": images["id"], "width": [1] * len(rows), "height": [1] * len(rows)}
        columns = {name: images[name] for name in LISTING.names} | facts
        writer.commit(Shard(part, rows), to_part(columns, embeddings[rows], schema))


def median_seconds(*arguments: str) -> float:
    """Return the seconds of a command as a whole process, the median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([FRIEZE, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rows(folder: Path) -> Iterator[list[object]]:
    """Time the three commands."""
    source, table, index = folder / "images", folder / "t.features", folder / "t.index"
    write_files(source)
    write_table(source, table)
    subprocess.run([FRIEZE, "index", table, "--out", index], check=True)
    yield ["`frieze --help`", median_seconds("--help")]
    rerun_s = median_seconds("embed", str(source), "--out", str(table))
    yield [f"`frieze embed` again on a finished table of {N_FILES:,} images", rerun_s]
    search_s = median_seconds("search", str(index), "id:07/000007.jpg", "--json")
    yield [f"`frieze search INDEX id:NAME`, {N_FILES:,} x {DIM}", search_s]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="frieze-start-") as folder:
        show("start", "what | seconds, median of 5", rows(Path(folder)), digits=2)


if __name__ == "__main__":
    main()

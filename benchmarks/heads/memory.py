"""Memory and time of `frieze train` on large tables, the hyperparameter search included.

Usage: python -m benchmarks.heads.memory [N_ROWS]   prints the table of docs/benchmarks.md (some minutes; writes and
removes 3 GB); N_ROWS sets the rows of each table, for a quick try.

The tables hold the clustered rows of heads/solver.py in 100 classes; each training is a separate process.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.heads.solver import Clusters, peak_mb
from benchmarks.tables import show
from frieze.features import BackboneSpec, Manifest, Shard, open_writer, part_schema, to_part

PART_ROWS = 4096
N_CLASSES = 100


@dataclasses.dataclass(frozen=True)
class Case:
    """One training run."""

    n_rows: int
    width: int
    head: str
    max_memory: str


CASES = (
    Case(1_000_000, 512, "prototype", "1GB"),
    Case(100_000, 1024, "linear", "8GB"),
)
HEADER = (
    "rows | head | --max-memory | vectors, MB | peak, MB | times the vectors | accuracy | seconds | of these the fit"
)


def write_table(path: Path, n_rows: int, width: int) -> None:
    """Write clustered rows as a table, part by part, in random order of classes."""
    spec = BackboneSpec(name="clustered", handle="drawn", fingerprint="0" * 64, dim=width, image_size=(1, 1))
    clusters, schema = Clusters(width, N_CLASSES), part_schema(spec)
    with open_writer(path, Manifest(spec=spec, source="drawn")) as writer:
        for number, start in enumerate(range(0, n_rows, PART_ROWS)):
            n = min(PART_ROWS, n_rows - start)
            embeddings, codes = clusters.draw(n)
            ids = [f"{start + row:07d}" for row in range(n)]
            columns: dict[str, list[Any]] = {"id": ids, "uri": ids, "sha256": ids}
            columns |= dict.fromkeys(("size_bytes", "mtime_ns", "width", "height"), [1] * n)
            columns["label"] = [f"class {code:02d}" for code in codes]
            writer.commit(Shard(number, np.arange(n)), to_part(columns, embeddings, schema))


def rows(folder: Path, n_rows: int | None) -> Iterator[list[object]]:
    """Yield the table's rows."""
    for default in CASES:
        case = dataclasses.replace(default, n_rows=n_rows or default.n_rows)
        table = folder / f"{case.n_rows}x{case.width}.features"
        if not table.exists():
            write_table(table, case.n_rows, case.width)
        arguments = ("measure", str(table), case.head, case.max_memory)
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, *arguments], check=True, capture_output=True, text=True
        )
        peak, accuracy, seconds, fit = json.loads(done.stdout)
        vectors = case.n_rows * case.width * 4 / 2**20
        settings = [f"{case.n_rows:,} x {case.width}", case.head, case.max_memory, round(vectors), round(peak)]
        yield [*settings, peak / vectors, accuracy, seconds, fit]


def measure(table: str, head: str, max_memory: str) -> None:
    """Train once in this process and print the figures as JSON."""
    import frieze

    with tempfile.TemporaryDirectory(prefix="frieze-training-") as folder:
        start_mb, started = peak_mb(), time.perf_counter()
        trained = frieze.train(table, out=Path(folder) / "head", head=head, max_memory=max_memory)
        seconds = time.perf_counter() - started
    print(json.dumps([peak_mb() - start_mb, trained["accuracy"], seconds, trained["fit_seconds"]]))


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
        return
    n_rows = int(sys.argv[1]) if sys.argv[1:] else None
    note = "The peak is what the process takes beyond its start, ids and labels included. Half of one copy is a fold's."
    with tempfile.TemporaryDirectory(prefix="frieze-training-") as folder:
        show("training", HEADER, rows(Path(folder), n_rows), note)


if __name__ == "__main__":
    main()

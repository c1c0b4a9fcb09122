"""`frieze index` against autofaiss, hnswlib, usearch and the exact scan: build time, memory, recall, queries a second.

Usage: [FRIEZE_DATA=...] python -m benchmarks.search.run [SET ...] [--autofaiss PYTHON] [--limit-s 600]
       [--only NAME ...]

Prints the tables of docs/benchmarks.md. SET is one of 200000x256, 100000x1024, cifar10 (by default these three),
million, and memory (a million of 256 numbers, built within a limit): clustered vectors on a low-dimensional
sheet, or embeddings of photographs; search/data.py describes the draw. Every contestant builds in one process and
searches in another, in turn, with every core (search/peers.py). autofaiss needs NumPy < 2, pyarrow < 19 and
faiss-cpu < 1.10, so a separate environment:

    python3.11 -m venv AF && AF/bin/pip install "autofaiss==2.18.0" "numpy<2" "pyarrow<19" "faiss-cpu<1.10"

PYTHON is that AF/bin/python, by default AUTOFAISS_PYTHON. A contestant that is not installed is left out, with a note.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.tables import show

SETS = {
    "200000x256": ("sheet", "200000", "256"),
    "100000x1024": ("sheet", "100000", "1024"),
    "cifar10": ("cifar10",),
    "million": ("sheet", "1000000", "128"),
    "memory": ("sheet", "1000000", "256"),
}
BY_DEFAULT = ("200000x256", "100000x1024", "cifar10")
HEADER = "index | build s | memory MB | disk MB | recall@10 | queries/s, 1,000 at once | one by one | what it is"


@dataclasses.dataclass(frozen=True)
class Row:
    """A contestant and its options.

    Attributes:
        label: First cell.
        name: One of search/peers.py.
        options: Arguments of `build`; `{quarter}` is a quarter of the raw vectors in bytes.
        is_tuned: Whether we set a peer's search parameter.
    """

    label: str
    name: str
    options: tuple[str, ...] = ()
    is_tuned: bool = True

    def builds_as(self, other: "Row") -> bool:
        """Return whether both rows can share one index."""
        return (self.name, self.options) == (other.name, other.options)


ROWS = (
    Row("**frieze**, recall .90", "frieze", ("recall=0.90",)),
    Row("**frieze**, recall .95", "frieze", ("recall=0.95",)),
    Row("**frieze**, recall .99", "frieze", ("recall=0.99",)),
    Row("**frieze**, recall .95, a quarter of the memory", "frieze", ("recall=0.95", "max_memory={quarter}B")),
    Row("hnswlib", "hnswlib"),
    Row("usearch", "usearch"),
    Row("exact", "exact"),
    Row("autofaiss, 1 GB", "autofaiss", ("max_index_memory_usage=1GB",), is_tuned=False),
    Row("autofaiss, 1 GB, its search tuned", "autofaiss", ("max_index_memory_usage=1GB",)),
    Row(
        "autofaiss, a quarter of the memory",
        "autofaiss",
        ("max_index_memory_usage={quarter_mb:.1f}MB",),
        is_tuned=False,
    ),
)
MEMORY_ROWS = (
    Row("any", "frieze", ("recall=0.95",)),
    Row("600 MB", "frieze", ("recall=0.95", "max_build_memory=600MB")),
)
"""The same index, built within less."""


class MissingError(Exception):
    """A contestant has no figures; the message has the reason."""


class Arena:
    """One set of vectors and the contestants on it.

    Args:
        folder: Holds vectors and indexes.
        arguments: Of search/data.py.
        options: The command's options.
    """

    def __init__(self, folder: Path, arguments: tuple[str, ...], options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.data = start(sys.executable, "-m", "benchmarks.search.data", folder, *arguments)
        self.built: dict[int, dict[str, Any]] = {}

    def rows(self, rows: tuple[Row, ...]) -> Iterator[list[str]]:
        """Let each contestant build and search; yield its cells."""
        for row in rows:
            if self.options.only and row.name not in self.options.only:
                continue
            try:
                yield self._cells(row)
            except MissingError as error:
                yield [row.label, *[""] * 6, str(error)]

    def _cells(self, row: Row) -> list[str]:
        python = sys.executable if row.name != "autofaiss" else self.options.autofaiss
        if not python:
            raise MissingError("left out, its environment is not given")
        same = next(number for number, other in enumerate(ROWS + MEMORY_ROWS) if other.builds_as(row))
        arguments = (row.name, self.folder, self.folder / f"{row.name}-{same}")
        if same not in self.built:  # rows may differ in their search alone
            self.built[same] = self._build(python, row, arguments)
        built = self.built[same]
        tuning = [] if row.is_tuned else ["is_tuned=no"]
        results = start(python, "-m", "benchmarks.search.peers", "search", *arguments, *tuning)
        description = built["description"] + (f"; set to {results['parameter']}" if results["parameter"] else "")
        figures = [f"{built['seconds']:.1f}", f"{built['memory_mb']:,.0f}", f"{built['disk_mb']:,.0f}"]
        rates = [f"{results[name]:,.0f}" for name in ("batch", "single")]
        return [row.label, *figures, f"{results['recall']:.3f}", *rates, description]

    def _build(self, python: str, row: Row, arguments: tuple[object, ...]) -> dict[str, Any]:
        quarter = self.data["rows"] * self.data["dim"]  # bytes: a number of a vector takes four
        options = [option.format(quarter=quarter, quarter_mb=quarter / 1e6) for option in row.options]
        return start(
            python, "-m", "benchmarks.search.peers", "build", *arguments, *options, limit_s=self.options.limit_s
        )


def start(python: str, *arguments: object, limit_s: float | None = None) -> dict[str, Any]:
    """Run a module and return the JSON of its last line.

    Raises:
        MissingError: It lacks a library, exceeds the limit, or fails.
    """
    command = [python, *map(str, arguments)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"given up after {limit_s:.0f} s of building") from error
    if "ModuleNotFoundError" in done.stderr:
        raise MissingError("left out, not installed here")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise MissingError(done.stderr.splitlines()[-1])
    print(f"  {' '.join(map(str, arguments[1:]))}: {done.stdout.splitlines()[-1]}", file=sys.stderr)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=" | ".join(SETS))
    parser.add_argument("--autofaiss", default=os.environ.get("AUTOFAISS_PYTHON"), metavar="PYTHON")
    parser.add_argument("--limit-s", type=float, default=600.0, help="limit of a build, in seconds")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these contestants alone")
    return parser.parse_args()


def main() -> None:
    """Print the tables of the sets named on the command line."""
    options = read_options()
    for name in options.sets or BY_DEFAULT:
        with tempfile.TemporaryDirectory(prefix="frieze-index-") as folder:
            arena = Arena(Path(folder), SETS[name], options)
            note = f"Before it, `frieze import` of the vectors takes {arena.data['import_seconds']:.1f} s."
            show(f"index {name}", HEADER, arena.rows(MEMORY_ROWS if name == "memory" else ROWS), note)


if __name__ == "__main__":
    main()

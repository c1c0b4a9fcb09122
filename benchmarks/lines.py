"""How many lines each command prints on 300 digits of the demo, and how many with --verbose.

Usage: python -m benchmarks.lines
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import FRIEZE
from benchmarks.tables import show
from examples.demo import write_digits

COMMANDS = (
    "embed digits --out a.features",
    "index a.features --out a.index",
    "search a.index id:0/0000.png",
    "duplicates a.index",
    "train a.features --out a.head",
    "compare a.features --heads linear,knn",
    "evaluate a.head a.features",
    "predict a.head a.features --out p.csv",
    "audit a.features --out f.csv",
    "map a.features --out m.html",
    "export a.features --format csv --out a.csv",
    "export a.features --format datasets --out d.parquet",
    "export a.features --format embedding-atlas --out e.parquet",
    "export a.features --format fiftyone --out a.fiftyone",
    "export a.features --format lance --out a.lance",
    "export a.head --format onnx --out a.onnx",
    "info a.features",
    "info a.index",
    "info a.head",
    "verify a.features",
    "cache",
    "config",
)
VERBOSE = ("search", "cache", "config")
"""Commands without --verbose: their result is a table."""


def count_lines(folder: Path, *arguments: str) -> str:
    """Return how many lines a command prints on stdout, and on stderr."""
    done = subprocess.run([FRIEZE, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return f"{len(done.stdout.splitlines())} + {len(done.stderr.splitlines())}"


def rows(folder: Path) -> Iterator[list[object]]:
    """Yield the table's rows."""
    for line in COMMANDS:
        name, *arguments = line.split()
        lines = count_lines(folder, name, *arguments)
        force = ["--force"] if name in ("train", "predict", "audit", "map", "export") else []
        verbose = "-" if name in VERBOSE else count_lines(folder, name, *arguments, "--verbose", *force)
        yield [f"`{line}`", lines, verbose]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for image in sorted(write_digits(Path(temporary) / "digits").rglob("*.png"), key=lambda path: path.name)[300:]:
            image.unlink()
        show("lines", "command | lines on stdout + stderr | with --verbose", rows(Path(temporary)))

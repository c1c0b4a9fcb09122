"""Two backbones in one pass over the images, beside one after the other: seconds, and whether the vectors are the same.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.one_pass   prints docs/benchmarks.md's table.

Each run is a process; they take turns, three times, and the medians are printed. A run's seconds are from its first
image read to its last vector.
"""

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import FRIEZE
from benchmarks.embedding.contestants import ROUNDS, Result, large, model, natural, real_large, run
from benchmarks.tables import run_passages, show
from frieze.features import open_features

BACKBONES = ("builtin", str(model("mobilenet_v2_100_224")))
SOURCES: dict[str, Callable[[Path], Path]] = {
    "12 megapixels, blown up": large,
    "2 to 24 megapixels, real": real_large,
    "about 500 x 375": natural,
}


def embed(source: Path, folder: Path, numbers: tuple[int, ...]) -> float:
    """Embed with some of the backbones, each into a new table; return the seconds."""
    arguments: list[object] = []
    for number in numbers:
        out = folder / f"{len(numbers)}-{number}.features"
        shutil.rmtree(out, ignore_errors=True)
        arguments += ["--backbone", BACKBONES[number], "--out", out]
    document: Result = run(FRIEZE, "embed", source, *arguments, "--json")
    seconds: float = document.get("tables", [document])[0]["seconds"]
    return seconds


def is_same(folder: Path) -> bool:
    """Return whether both tables of the pass have the vectors of runs of their own, bit for bit."""
    vectors = [
        [open_features(folder / f"{n_tables}-{number}.features").embeddings() for n_tables in (1, 2)]
        for number in range(len(BACKBONES))
    ]
    return all(np.array_equal(*pair) for pair in vectors)


def measure(name: str, folder: Path) -> list[object]:
    """Return a row of the table."""
    source = SOURCES[name](folder)
    rounds = [[embed(source, folder, numbers) for numbers in ((0,), (1,), (0, 1))] for _ in range(ROUNDS)]
    first, second, both = (statistics.median(column) for column in zip(*rounds, strict=True))
    n_images = len(open_features(folder / "2-0.features"))
    saved = f"{1 - both / (first + second):.0%}"
    return [
        name,
        f"{n_images:,}",
        f"{first:.1f}",
        f"{second:.1f}",
        f"{both:.1f}",
        saved,
        "yes" if is_same(folder) else "no",
    ]


def one_pass(folder: Path) -> None:
    """Print the table."""
    header = "images | n | `builtin`, s | mobilenet_v2_100_224, s | both in one pass, s | saved | same vectors"
    show("embed one pass", header, (measure(name, folder) for name in SOURCES))


if __name__ == "__main__":
    run_passages({"one_pass": one_pass})

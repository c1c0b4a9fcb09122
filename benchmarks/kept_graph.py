"""What a kept graph saves: commands that embed one image, as whole processes, with and without the user's cache.

Usage: python -m benchmarks.kept_graph   prints the table of docs/benchmarks.md (FRIEZE_DATA: see CONTRIBUTING.md).
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks import DATA, FRIEZE
from benchmarks.embedding.contestants import natural
from benchmarks.tables import show

N_RUNS = 5


class Cost(NamedTuple):
    """Cost of one process: wall-clock and CPU seconds, and peak memory in megabytes."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(arguments: list[str], cache: Path) -> Cost:
    """Run a command to its end with a folder of caches."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [FRIEZE, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def commands(folder: Path, backbone: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each command that is timed, which may be run again: an image is new each time."""
    image, photos = str(folder / "photos" / "new.png"), str(folder / "photos")
    table, head, index = (str(folder / f"t.{kind}") for kind in ("features", "head", "index"))
    yield "`search INDEX photo.png`", ["search", index, image]
    yield "`predict HEAD photo.png`", ["predict", head, image, "--out", str(folder / "p.csv"), "--force"]
    many, new = str(folder / "many"), str(folder / "new.features")
    yield "`embed` of 1,000 photographs", ["embed", many, "--backbone", str(backbone), "--out", new, "--force"]
    yield "`embed` of one new image into a table", ["embed", photos, "--backbone", str(backbone), "--out", table]


def prepare(folder: Path, images: Path, backbone: Path, cache: Path) -> None:
    """Make a table of 200 photographs, its index and a linear head, and 1,000 copies; keep the graph."""
    shutil.copytree(images, folder / "photos")
    natural(folder, 5).rename(folder / "many")
    table, environment = str(folder / "t.features"), os.environ | {"XDG_CACHE_HOME": str(cache)}
    embed = ["embed", str(folder / "photos"), "--backbone", str(backbone), "--out", table]
    index, head = (
        ["index", table, "--out", str(folder / "t.index")],
        ["train", table, "--out", str(folder / "t.head")],
    )
    for arguments in (embed, index, head):
        subprocess.run([FRIEZE, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def rows(folder: Path) -> Iterator[list[object]]:
    """Time each command with nothing kept and with the graph, in turn."""
    backbone, kept = DATA / "backbones" / "mobilenet_v2_100_224" / "saved_model", folder / "cache"
    prepare(folder, DATA / "images" / "flowers_ccby_200", backbone, kept)
    for name, arguments in commands(folder, backbone):
        pairs = []
        for number in range(N_RUNS):
            costs = []
            for turn, cache in enumerate((Path(os.devnull), kept)):
                colour = (20 * number + turn, 50, 99)
                Image.new("RGB", (300, 200), colour).save(folder / "photos" / "new.png")
                costs.append(measure(arguments, cache))
            pairs.append(costs)
        loaded, started = (Cost(*map(statistics.median, zip(*one, strict=True))) for one in zip(*pairs, strict=True))
        ratio = statistics.median(one.cpu_s / other.cpu_s for one, other in pairs)
        sooner = statistics.median(one.wall_s / other.wall_s for one, other in pairs)
        yield [
            name,
            loaded.wall_s,
            started.wall_s,
            sooner,
            loaded.cpu_s,
            started.cpu_s,
            ratio,
            loaded.peak_mb,
            started.peak_mb,
        ]


def main() -> None:
    """Print the table."""
    header = "what | s | kept | ratio | CPU s | kept | ratio | peak MB | kept"
    with tempfile.TemporaryDirectory(prefix="frieze-kept-") as folder:
        show("kept", header, rows(Path(folder)), digits=2)


if __name__ == "__main__":
    main()

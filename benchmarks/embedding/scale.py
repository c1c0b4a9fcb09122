"""Time and memory of many images, as whole processes: embedding, listing, and a re-run over a finished table.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.scale   prints the tables of docs/benchmarks.md (some minutes;
writes and removes half a gigabyte).
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import DATA, FRIEZE
from benchmarks.tables import show

BACKBONE = DATA / "backbones" / "resnet8_cifar10_32" / "saved_model"
SHARDS = DATA / "images" / "cifar10_test_webdataset"
FEW, MANY, LISTED = 1_000, 100_000, 1_000_000

WATCH = """
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
sys.stderr.write(f" {status} {used.ru_maxrss}")
"""

LIST = """
import sys, time
from frieze.embedder import SourceOptions, open_source
start = time.perf_counter()
n_images = len(open_source(sys.argv[1], SourceOptions()).listing.images)
print(n_images, time.perf_counter() - start)
"""


def write_images(folder: Path, count: int) -> Path:
    """Write byte-distinct small JPEGs: bytes after a JPEG's end make the repeats distinct."""
    images = itertools.cycle(list(_read_images()))
    for number in range(count):
        path = folder / f"{number % 100:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(next(images) + str(number).encode())
    return folder


def _read_images() -> Iterator[bytes]:
    for path in sorted(SHARDS.glob("*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                if member.name.endswith(".jpg"):
                    yield shard.extractfile(member).read()


def run(*command: object) -> tuple[str, float, float]:
    """Run a process; return its stdout, its seconds and its peak memory in MB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", WATCH, *map(str, command)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    status, kilobytes = done.stderr.rsplit(maxsplit=2)[-2:]
    if status != "0":
        raise SystemExit(done.stderr)
    return done.stdout, seconds, int(kilobytes) / (1 if sys.platform == "darwin" else 1024)


def embed(folder: Path, out: Path) -> tuple[dict[str, object], float, float]:
    """Run `frieze embed`."""
    text, seconds, peak = run(FRIEZE, "embed", folder, "--backbone", BACKBONE, "--out", out, "--json")
    return json.loads(text), seconds, peak


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="frieze-scale-") as folder:
        rows, peaks = _embedding(Path(folder))
        rows.append(_listing(Path(folder)))
        note = f"The peak of {MANY:,} images is {peaks[MANY] / peaks[FEW]:.2f} times that of {FEW:,} (target: 1.15)."
        show("scale", "what | images/s | seconds | peak MB", rows, note)


def _embedding(folder: Path) -> tuple[list[list[object]], dict[int, float]]:
    rows: list[list[object]] = []
    peaks: dict[int, float] = {}
    for count in (FEW, MANY):
        source = write_images(folder / f"images-{count}", count)
        document, seconds, peaks[count] = embed(source, folder / f"{count}.features")
        rate = f"{document['images_per_second']:,}"
        rows.append([f"embed {count:,} images", rate, f"{seconds:.1f}", f"{peaks[count]:,.0f}"])
    document, seconds, peak = embed(folder / f"images-{MANY}", folder / f"{MANY}.features")
    rows.append([f"the {document['unchanged']:,} again, nothing to do", "", f"{seconds:.1f}", f"{peak:,.0f}"])
    shutil.rmtree(folder / f"images-{MANY}")
    return rows, peaks


def _listing(folder: Path) -> list[object]:
    source = folder / "listed"
    for number in range(LISTED):
        path = source / f"{number % 1000:03d}" / f"{number:07d}.jpg"
        if number < 1000:
            path.parent.mkdir(parents=True)
        os.close(os.open(path, os.O_CREAT))
    text, _, peak = run(sys.executable, "-c", LIST, source)
    n_images, seconds = text.split()
    return [f"list {int(n_images):,} paths", "", f"{float(seconds):.1f}", f"{peak:,.0f}"]


if __name__ == "__main__":
    main()

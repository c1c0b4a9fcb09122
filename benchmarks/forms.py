"""The same 10,000 images in every form of source: how fast each is listed and embedded, and whether the vectors agree.

Usage: FRIEZE_DATA=... python benchmarks/forms.py   prints the table of docs/benchmarks.md.
"""

import json
import os
import runpy
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from report import show

import frieze

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("FRIEZE_DATA", ROOT.parent / "shared" / "data"))
BACKBONE = DATA / "backbones" / "resnet8_cifar10_32" / "saved_model"
FORMS = runpy.run_path(str(ROOT / "tests" / "embedder" / "test_forms.py"))["FORMS"]
SCRIPT = Path(sys.executable).with_name("frieze")


def read_images() -> list[tuple[str, str, bytes]]:
    """Give name, label and bytes of the CIFAR-10 test set's images."""
    found = {}
    for path in sorted((DATA / "images" / "cifar10_test_webdataset").glob("*.tar")):
        with tarfile.open(path) as shard:
            found |= {member.name: shard.extractfile(member).read() for member in shard}
    names = [name.removesuffix(".jpg") for name in found if name.endswith(".jpg")]
    return [(name, found[f"{name}.cls"].decode().strip(), found[f"{name}.jpg"]) for name in names]


def embed(source: Path, out: Path) -> tuple[dict[str, object], float]:
    """Embed a source in a process of its own, twice; gives the first document and the seconds of the second run."""
    command = [SCRIPT, "embed", source, "--backbone", BACKBONE, "--out", out, "--json"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    start = time.perf_counter()
    again = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if again["unchanged"] != document["rows"]:
        raise SystemExit(f"{source}: {again}")
    return document, time.perf_counter() - start


def content(out: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Give sha256 -> label and vector."""
    table = frieze.open_features(out)
    return {
        sha: (label, vector)
        for sha, label, vector in zip(table.rows["sha256"].to_pylist(), table.labels, table.embeddings(), strict=True)
    }


def rows(folder: Path) -> Iterator[list[object]]:
    """Embed each form, and hold it against the first."""
    images = read_images()
    expected: dict[str, tuple[str, np.ndarray]] = {}
    for form, write in FORMS.items():
        place = folder / form
        place.mkdir()
        document, again = embed(write(images, place), place / "out")
        found = content(place / "out")
        expected = expected or found
        labels = all(found[sha][0] == label for sha, (label, _) in expected.items())
        largest = max(np.abs(found[sha][1] - vector).max() for sha, (_, vector) in expected.items())
        rate = f"{document['images_per_second']:,.0f}"
        yield [form, f"{document['rows']:,}", rate, f"{again:.1f}", "yes" if labels else "NO", f"{largest:.1e}"]


def main() -> None:
    """Print the table."""
    header = "source | images | images/s | again, seconds | same labels | largest difference of any number"
    with tempfile.TemporaryDirectory(prefix="frieze-forms-") as folder:
        show("forms", header, rows(Path(folder)))


if __name__ == "__main__":
    main()

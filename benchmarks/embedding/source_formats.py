"""The same 10,000 images in every source format: images a second, seconds of a re-run, and whether the vectors agree.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.source_formats   prints the table of docs/benchmarks.md.
"""

import hashlib
import json
import runpy
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA, FRIEZE, ROOT
from benchmarks.tables import show

BACKBONE = DATA / "backbones" / "resnet8_cifar10_32" / "saved_model"
_WRITERS = runpy.run_path(str(ROOT / "tests" / "embedder" / "sources" / "test_same_vectors.py"))
FORMS, PIXEL_FORMS = _WRITERS["FORMS"], _WRITERS["PIXEL_FORMS"]


def read_images() -> list[tuple[str, str, bytes]]:
    """Return name, label and bytes of the CIFAR-10 test set's images."""
    members = {}
    for path in sorted((DATA / "images" / "cifar10_test_webdataset").glob("*.tar")):
        with tarfile.open(path) as shard:
            members |= {member.name: shard.extractfile(member).read() for member in shard}
    names = [name.removesuffix(".jpg") for name in members if name.endswith(".jpg")]
    return [(name, members[f"{name}.cls"].decode().strip(), members[f"{name}.jpg"]) for name in names]


def embed(source: Path, out: Path) -> tuple[dict[str, object], float]:
    """Embed a source twice in separate processes; return the first document and the seconds of the second run."""
    command = [FRIEZE, "embed", source, "--backbone", BACKBONE, "--out", out, "--json"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    start = time.perf_counter()
    rerun = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if rerun["unchanged"] != document["rows"]:
        raise SystemExit(f"{source}: {rerun}")
    return document, time.perf_counter() - start


def content(out: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Return sha256 -> label and vector."""
    table = frieze.open_features(out)
    return {
        sha: (label, vector)
        for sha, label, vector in zip(table.rows["sha256"].to_pylist(), table.labels, table.embeddings(), strict=True)
    }


def rows(folder: Path) -> Iterator[list[object]]:
    """Embed each format, and compare it with the first."""
    images = read_images()
    expected: dict[str, tuple[str, np.ndarray]] = {}
    for form, write in FORMS.items():
        directory = folder / form
        directory.mkdir()
        document, rerun_s = embed(write(images, directory), directory / "out")
        stored = content(directory / "out")
        expected = expected or stored
        labels = all(stored[sha][0] == label for sha, (label, _) in expected.items())
        largest = max(np.abs(stored[sha][1] - vector).max() for sha, (_, vector) in expected.items())
        rate = f"{document['images_per_second']:,.0f}"
        yield [form, f"{document['rows']:,}", rate, f"{rerun_s:.1f}", "yes" if labels else "NO", f"{largest:.1e}"]
    in_order = [expected[hashlib.sha256(data).hexdigest()] for *_, data in images]
    for form, write in PIXEL_FORMS.items():  # whose images have other bytes: compared by their number
        directory = folder / form
        directory.mkdir()
        document, rerun_s = embed(write(images, directory), directory / "out")
        table = frieze.open_features(directory / "out")
        labels = list(table.labels) == [label for label, _ in in_order]
        largest = np.abs(table.embeddings() - np.stack([vector for _, vector in in_order])).max()
        rate = f"{document['images_per_second']:,.0f}"
        yield [form, f"{document['rows']:,}", rate, f"{rerun_s:.1f}", "yes" if labels else "NO", f"{largest:.1e}"]


def main() -> None:
    """Print the table."""
    header = "source | images | images/s | again, seconds | same labels | largest difference of any number"
    with tempfile.TemporaryDirectory(prefix="frieze-forms-") as folder:
        show("forms", header, rows(Path(folder)))


if __name__ == "__main__":
    main()

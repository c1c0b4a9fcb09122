"""Reading images out of archives, beside the library of each format: images a second, in one run.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.source_speed   prints the table of docs/benchmarks.md.

Each reader gives the bytes of every image and its label. Ours lists the archive first, which no other does: a table is
compared with the listing before anything is read, and ids, columns and failures are known. So both are shown, with the
listing and without.
"""

import itertools
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DATA
from benchmarks.embedding.source_formats import FORMS, read_images
from benchmarks.tables import show
from frieze.embedder import SourceOptions, open_source

N_RUNS = 5


def with_frieze(path: Path) -> Iterator[tuple[bytes, str]]:
    """List an archive as `frieze embed` does, and read it."""
    yield from read_source(open_source(str(path), SourceOptions()))


def read_source(source: Any) -> Iterator[tuple[bytes, str]]:
    """Read the images of a listed source, in batches."""
    rows = np.arange(len(source.listing.images))
    contents = itertools.chain.from_iterable(source.read(batch) for batch in np.array_split(rows, len(rows) // 64 + 1))
    yield from zip(contents, source.listing.images["label"].to_pylist(), strict=True)


def with_webdataset(path: Path) -> Iterator[tuple[bytes, str]]:
    """Read shards with webdataset, without decoding."""
    import webdataset

    shards = webdataset.WebDataset(sorted(map(str, path.glob("*.tar"))), shardshuffle=False, empty_check=False)
    for sample in shards:
        yield sample["jpg"], sample["cls"].decode()


def with_tensorflow(path: Path) -> Iterator[tuple[bytes, str]]:
    """Read a TFRecord file with tf.data, a thousand parsed at a time."""
    import tensorflow as tf

    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image/encoded", "image/class/text")}
    records = tf.data.TFRecordDataset(str(path)).batch(1000)
    for batch in records.map(lambda batch: tf.io.parse_example(batch, features), tf.data.AUTOTUNE):
        labels = (label.decode() for label in batch["image/class/text"].numpy())
        yield from zip(batch["image/encoded"].numpy(), labels, strict=True)


def with_zipfile(path: Path) -> Iterator[tuple[bytes, str]]:
    """Read an archive with zipfile, which checks each member's CRC as we do."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield archive.read(member), member.filename.split("/")[0]


OTHERS: dict[str, tuple[str, Callable[[Path], Iterable[tuple[bytes, str]]]]] = {
    "tar": ("webdataset", with_webdataset),
    "tfrecord": ("TensorFlow", with_tensorflow),
    "zip": ("zipfile", with_zipfile),
}
"""Form -> the library beside which it is read, and how."""


def seconds(read: Callable[[], Iterable[tuple[bytes, str]]]) -> tuple[float, set[tuple[bytes, str]]]:
    """Return the seconds of reading everything, and what was read."""
    start = time.perf_counter()
    content = list(read())
    return time.perf_counter() - start, set(content)


def photographs() -> list[tuple[str, str, bytes]]:
    """Return name, label and bytes of 1,000 photographs of 224 x 224."""
    paths = sorted((DATA / "images" / "imagenette_val").glob("*/*.jpg"))
    return [(path.stem, path.parent.name, path.read_bytes()) for path in paths]


def rows(folder: Path) -> Iterator[list[object]]:
    """Read each form with both, in turn."""
    for name, images in (("CIFAR-10, 32 x 32", read_images()), ("imagenette, 224 x 224", photographs())):
        for form, (library, read) in OTHERS.items():
            directory = folder / f"{form} {len(images)}"
            directory.mkdir()
            path = FORMS[form](images, directory)
            source = open_source(str(path), SourceOptions())
            readers = (partial(with_frieze, path), partial(read_source, source), partial(read, path))
            runs = [[seconds(one) for one in readers] for _ in range(N_RUNS + 1)][1:]  # the first warms up
            if any(one[1] != run[0][1] for run in runs for one in run):
                raise SystemExit(f"{form}: frieze and {library} read different images or labels")
            listed, alone, other = (
                len(images) / statistics.median(run[which][0] for run in runs) for which in range(len(readers))
            )
            rates = [f"{one:,.0f}" for one in (listed, alone, other)]
            yield [name, form, library, *rates, f"{listed / other:.2f}", f"{alone / other:.2f}"]


def main() -> None:
    """Print the table."""
    header = (
        "images | source | beside | listed and read, images/s | read alone, images/s | the other, images/s"
        " | ratio with listing | ratio of reading"
    )
    with tempfile.TemporaryDirectory(prefix="frieze-sources-") as folder:
        show("source speed", header, rows(Path(folder)))


if __name__ == "__main__":
    main()

"""What one process feeds to a device: the pipeline with an engine that takes batches as fast as they come.

Usage: python -m benchmarks.embedding.feeding   prints the table of docs/benchmarks.md (FRIEZE_DATA: see CONTRIBUTING).

Seconds under Python's lock are measured by a thread of plain Python beside one that decodes: the gaps in its
clock are the time during which it had to wait, less what handing the lock over costs with work that never holds it.
"""

import contextlib
import hashlib
import io
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.embedding.contestants import large, photographs, small
from benchmarks.tables import show
from frieze.embedder import DecodeProcesses, Decoder, Limits, SourceOptions, decode_for, open_source, stream
from frieze.features import BackboneSpec

ROUNDS, AHEAD = 5, 2
WATCHED_S, GAP_S, SWITCH_S = 0.3, 2e-6, 1e-5
SIDE = 224


def spec(side: int) -> BackboneSpec:
    """Return a backbone's facts as far as decoding takes them."""
    return BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(side, side))


class Images(NamedTuple):
    """Images of one kind.

    Attributes:
        name: In the table.
        folder: Where they are.
        side: Side of the network's input in pixels.
        n_images: How many are read in a round, some of them several times.
        batch: Images a batch.
    """

    name: str
    folder: Path
    side: int
    n_images: int
    batch: int = 32


def rate(images: Images, workers: int, *, in_processes: bool) -> float:
    """Return the images a second that the pipeline feeds by so many threads or processes."""
    source = open_source(images.folder, SourceOptions())
    rows = np.resize(np.arange(len(source.listing.images)), images.n_images)
    with contextlib.ExitStack() as held:
        processes = None
        if in_processes:
            pool = DecodeProcesses(workers, spec(images.side), Limits(), images.batch)
            processes = held.enter_context(contextlib.closing(pool))
        options = {"batch_size": images.batch, "workers": workers + AHEAD * in_processes}
        for timed in (rows[: images.batch], rows):  # after the first batch the processes are up
            decoder, start = Decoder(source, spec(images.side), processes=processes), time.perf_counter()
            n_images = sum(len(batch.rows) for batch in stream([timed], decoder, **options))
        return n_images / (time.perf_counter() - start)


class Watched(NamedTuple):
    """What a thread of Python waited for beside another: images, seconds of gaps, number of gaps."""

    n_images: int
    gaps_s: float
    n_gaps: int


def watch(work: Callable[[int], object]) -> Watched:
    """Run work again and again in a thread, and count the gaps in this thread's clock."""
    is_over, count = threading.Event(), [0]

    def repeat() -> None:
        while not is_over.is_set():
            work(count[0])
            count[0] += 1

    thread = threading.Thread(target=repeat)
    thread.start()
    clock, gaps_s, n_gaps = time.perf_counter, 0.0, 0
    last = clock()
    end = last + WATCHED_S
    while last < end:
        now = clock()
        if now - last > GAP_S:
            gaps_s, n_gaps = gaps_s + now - last, n_gaps + 1
        last = now
    is_over.set()
    thread.join()
    return Watched(count[0], gaps_s, n_gaps)


def held_ms(files: Sequence[bytes], side: int) -> float:
    """Return the milliseconds for which an image holds Python's lock: the median of short rounds."""
    nothing = bytes(200_000)
    switch_s, rounds = sys.getswitchinterval(), []
    sys.setswitchinterval(SWITCH_S)
    try:
        for _ in range(3 * ROUNDS):
            idle = watch(lambda _: hashlib.sha256(nothing))
            busy = watch(lambda at: decode_for(files[at % len(files)], spec(side)))
            handing_over_s = idle.gaps_s / idle.n_gaps
            rounds.append((busy.gaps_s - busy.n_gaps * handing_over_s) / busy.n_images * 1e3)
    finally:
        sys.setswitchinterval(switch_s)
    return max(0.0, statistics.median(rounds))


def python_ms(data: bytes, side: int) -> float:
    """Return the milliseconds of a JPEG without the two calls that leave the lock: decoding and resizing are done."""
    decode, resize, kept = simplejpeg.decode_jpeg, Image.Image.resize, dict[str, Any]()

    def decode_once(*args: Any, **options: Any) -> Any:
        if "pixels" not in kept:
            kept["pixels"] = decode(*args, **options).copy()
        return kept["pixels"]

    def resize_once(image: Image.Image, *args: Any) -> Any:
        if "resized" not in kept:
            kept["resized"] = resize(image, *args)
        return kept["resized"]

    with (
        mock.patch.object(simplejpeg, "decode_jpeg", decode_once),
        mock.patch.object(Image.Image, "resize", resize_once),
    ):
        return min(wall_ms(data, side) for _ in range(4 * ROUNDS))


def wall_ms(data: bytes, side: int) -> float:
    """Return the milliseconds in which an image is decoded."""
    start = time.perf_counter()
    for _ in range(100):
        decode_for(data, spec(side))
    return (time.perf_counter() - start) / 100 * 1e3


def cpu_ms(files: Sequence[bytes], decode: Callable[[bytes], object]) -> float:
    """Return the CPU milliseconds of one thread, an image: the least of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for data in files:
            decode(data)
        rounds.append((time.thread_time() - start) / len(files) * 1e3)
    return min(rounds)


def decode_by_libraries(data: bytes, side: int) -> np.ndarray:
    """Decode and resize by the libraries alone: what no pipeline can do without."""
    if data.startswith(b"\xff\xd8"):
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        factor = next(one for one in (8, 4, 2, 1) if one <= max(1, min(height, width) // max(896, 2 * side)))
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor))
        image = Image.fromarray(pixels)
    else:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def write_kinds(folder: Path) -> Iterator[Images]:
    """Write real photographs of 500 x 375 pixels in each format, and name the other sets."""
    photos = [Image.open(path).convert("RGB") for path in photographs("large_photos")]
    kinds = {"JPEG": ("jpg", {"quality": 90}), "PNG": ("png", {}), "WEBP": ("webp", {"quality": 85})}
    for kind, (suffix, options) in kinds.items():
        out = folder / kind
        out.mkdir()
        for number in range(200):
            photo = photos[number % len(photos)]
            size = (500, 375) if photo.width >= photo.height else (375, 500)
            reduced = photo.resize(size, Image.Resampling.LANCZOS, box=(number // 19, 0, *photo.size))
            reduced.save(out / f"{number:03d}.{suffix}", kind, **options)
        yield Images(f"500 x 375, {kind}", out, SIDE, 800)
    yield Images("12 megapixels, JPEG", large(folder), SIDE, 96, batch=4)
    yield Images("32 x 32, JPEG", small(folder), 32, 8000)


def rows(folder: Path) -> Iterator[list[object]]:
    """Measure each kind of images."""
    for images in write_kinds(folder):
        ways = [(1, False), (2, False), (1, True), (2, True)]
        rounds = [[rate(images, workers, in_processes=others) for workers, others in ways] for _ in range(ROUNDS)]
        one, two, one_process, two_processes = (statistics.median(one) for one in zip(*rounds, strict=True))
        paths = sorted(path for path in images.folder.rglob("*") if path.is_file())[:40]
        files = [path.read_bytes() for path in paths]
        ours = cpu_ms(files, lambda data: decode_for(data, spec(images.side)))  # noqa: B023  called in this turn
        theirs = cpu_ms(files, lambda data: decode_by_libraries(data, images.side))  # noqa: B023
        held = held_ms(files, images.side)
        python = f"{python_ms(files[0], images.side):.3f}" if images.name.endswith("JPEG") else "-"
        rates = [f"{value:,.0f}" for value in (one, two, one_process, two_processes)]
        yield [images.name, *rates, f"{two / one:.2f}", f"{ours:.3f}", f"{theirs:.3f}", f"{held:.3f}", python]


def main() -> None:
    """Print the table."""
    columns = ("images", "1 thread", "2 threads", "1 process", "2 processes", "2 threads : 1")
    figures = ("CPU ms an image", "the libraries' own", "ms under Python's lock", "ms of Python alone")
    with tempfile.TemporaryDirectory() as folder:
        show("embed feeding", " | ".join((*columns, *figures)), rows(Path(folder)))


if __name__ == "__main__":
    main()

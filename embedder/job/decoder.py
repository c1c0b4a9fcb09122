"""Decodes a batch of images: equal bytes once, known ones not at all, and unusable ones become failures."""

import contextlib
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np

from frieze.core import OUT_OF_MEMORY, Floats, ImageError, Rows
from frieze.embedder.images.decode_processes import TIMEOUT, DecodeProcesses, DecoderDiedError
from frieze.embedder.images.decoding_tally import DecodingTally
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.prepare import BatchDecoder, Computed, ThreadDecoder
from frieze.embedder.images.resize import Pixels
from frieze.embedder.sources import Content, Source
from frieze.features import BackboneSpec, Failure

_COMPUTED = Computed()
_NO_ROWS = np.empty(0, np.int64)


@dataclasses.dataclass(frozen=True)
class BatchRows:
    """The listing's rows of one batch, before reading.

    Attributes:
        shard: Number of the shard in the plan.
        is_last: Whether it is the last batch of its shard.
        rows: int64 [n].
    """

    shard: int
    is_last: bool
    rows: Rows


@dataclasses.dataclass(kw_only=True)
class Clocked:
    """The seconds that a batch took.

    Attributes:
        read_s: Seconds a thread spent reading files.
        decode_s: Seconds a thread spent decoding and resizing.
        read_cpu_s: CPU seconds of reading.
        decode_cpu_s: CPU seconds of hashing, decoding and resizing.
        other_cpu_s: Those of them that other processes used.
    """

    read_s: float = 0.0
    decode_s: float = 0.0
    read_cpu_s: float = 0.0
    decode_cpu_s: float = 0.0
    other_cpu_s: float = 0.0


@dataclasses.dataclass
class Batch(Clocked):
    """Decoded images of one shard.

    Attributes:
        requested: All rows of the batch, also those that failed.
        rows: int64 [n], the rows that are usable images.
        digests: sha256 of each row's bytes.
        sizes: For each row of `pixels` its sha256, and the image's width and height in pixels as displayed. Equal bytes
            appear once; bytes that have an embedding already do not appear.
        hashes: For each row of `pixels` its sha256, and the perceptual hashes of image and content; 0 for none.
        statistics: sha256 of a row of `pixels` -> float32 [6], its picture statistics; empty where there are none.
        failures: Images of the batch that could not be read or decoded.
        tally: Traits of the images, counted while they are decoded.
        pixels: [len(sizes), H, W, 3] uint8, in the host's memory, or where `Engine.prefetch` copied them.
    """

    requested: BatchRows
    rows: Rows = dataclasses.field(default_factory=_NO_ROWS.copy)
    digests: list[bytes] = dataclasses.field(default_factory=list)
    sizes: dict[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    hashes: dict[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    statistics: dict[bytes, Floats] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)
    pixels: Any = None


class Decoder:
    """Decodes batches of a source's images for one backbone.

    Args:
        source: The images.
        spec: Image size and fit.
        max_pixels: Largest width times height accepted.
        is_known: sha256 -> whether the bytes have an embedding already; these are not decoded.
        processes: Where the images are decoded; None for the calling thread.
        computed: What the calling thread computes of the pixels; processes know by themselves.
    """

    def __init__(
        self,
        source: Source,
        spec: BackboneSpec,
        *,
        max_pixels: int = MAX_PIXELS,
        is_known: Callable[[bytes], bool] = lambda _: False,
        processes: DecodeProcesses | None = None,
        computed: Computed = _COMPUTED,
    ) -> None:
        self.source = source.for_backbones([spec], max_pixels=max_pixels)
        self._images = source.listing.images.select(["id", "uri", "size_bytes", "mtime_ns"])
        self.spec = spec
        self.is_known = is_known
        self._max_pixels = max_pixels
        self._processes = processes
        self._computed = computed
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """End the batches in flight at their next image: nobody waits for them any more."""
        self._is_stopped.set()
        self.source.cancel()

    def batch(self, requested: BatchRows, contents: Iterable[Content]) -> Batch:
        """Decode a batch from its images' bytes; unusable images are its failures."""
        kept = contents if isinstance(contents, list) else None
        failed, has_died = dict[int, Content](), False
        while True:
            decoding = Decoding(Batch(requested), self.is_known)
            try:
                return self._batch(decoding, contents)
            except DecoderDiedError as error:
                if error.timed_out is not None:
                    failed |= dict.fromkeys(decoding.rows_of(error.timed_out), TIMEOUT)
                elif has_died:
                    raise
                else:
                    failed, has_died = self._find_deadly(requested, kept), True
            others = self.source.read(requested.rows) if kept is None else kept
            contents = map(failed.get, requested.rows.tolist(), others)

    def _batch(self, decoding: "Decoding", contents: Iterable[Content]) -> Batch:
        batch = decoding.batch
        pixels = self.allocate(len(batch.requested.rows))
        with self._take(pixels) as images:
            for content in time_reading(contents, batch):
                self.check_stopped()
                with time_decoding(batch):
                    decoding.add(content, images)
            with time_decoding(batch):
                results = decoding.finish(images)
        return self.complete(batch, results, pixels)

    def allocate(self, n_images: int) -> Pixels:
        """Return memory for the pixels of so many images: uint8 [n, H, W, 3]."""
        return np.empty((n_images, *self.spec.image_size, 3), np.uint8)

    def check_stopped(self) -> None:
        """Raise CancelledError after `stop`."""
        if self._is_stopped.is_set():
            raise CancelledError

    def complete(self, batch: Batch, results: Sequence[bytes | ImageError], pixels: Pixels) -> Batch:
        """Fill in the rows, digests, failures and pixels of a batch.

        Args:
            batch: The batch, after `Decoding.finish`.
            results: From there.
            pixels: From `allocate`.
        """
        usable = list[int]()
        for row, result in zip(batch.requested.rows, results, strict=True):
            if isinstance(result, ImageError):
                batch.failures.append(self._failure(int(row), result))
            else:
                usable.append(row)
                batch.digests.append(result)
        batch.rows = np.array(usable, np.int64)
        batch.pixels = pixels[: len(batch.sizes)]
        return batch

    def _take(self, pixels: Pixels) -> contextlib.AbstractContextManager[BatchDecoder]:
        if self._processes is not None:
            return self._processes.take(pixels)
        return contextlib.nullcontext(self.in_thread(pixels))

    def in_thread(self, pixels: Pixels) -> ThreadDecoder:
        """Return what decodes a batch in the calling thread, into the memory of `allocate`."""
        return ThreadDecoder(self.spec, self._max_pixels, pixels, **self._computed._asdict())

    def _find_deadly(self, requested: BatchRows, kept: list[Content] | None) -> dict[int, Content]:
        """Return the failures of the rows of a batch that end the process that decodes them."""
        deadly = dict[int, Content]()
        for at, row in enumerate(requested.rows.tolist()):
            one = BatchRows(requested.shard, is_last=False, rows=requested.rows[at : at + 1])
            try:
                contents = self.source.read(one.rows) if kept is None else kept[at : at + 1]
                self._batch(Decoding(Batch(one), self.is_known), contents)
            except DecoderDiedError as error:
                reason = OUT_OF_MEMORY if error.was_killed else "damaged"
                ended = ImageError("decode", reason, "the process that decoded it was ended")
                deadly[row] = ended if error.timed_out is None else TIMEOUT
        return deadly

    def _failure(self, row: int, error: ImageError) -> Failure:
        (image,) = self._images.slice(row, 1).to_pylist()
        return Failure(
            image["id"],
            image["uri"],
            error.stage,
            error.reason,
            error.message,
            image["size_bytes"],
            image["mtime_ns"],
        )


class Decoding:
    """One batch while it is decoded: equal bytes are decoded once, and known ones not at all.

    Args:
        batch: What is decoded.
        is_known: sha256 -> whether the bytes have an embedding already.
    """

    def __init__(self, batch: Batch, is_known: Callable[[bytes], bool]) -> None:
        self.batch = batch
        self._is_known = is_known
        self._images: list[bytes | ImageError] = []  # a digest, or why the bytes could not be read
        self._decoded: dict[bytes, None] = {}

    def add(self, content: Content, images: BatchDecoder) -> None:
        """Take the next image, and decode it if need be."""
        if isinstance(content, ImageError):
            self.needs(content)
        elif self.needs(hashlib.sha256(content).digest()):
            images.add(content)

    def needs(self, image: bytes | ImageError) -> bool:
        """Take the next image, its digest or why it can't be read; return whether it has to be decoded."""
        self._images.append(image)
        if isinstance(image, ImageError) or image in self._decoded or self._is_known(image):
            return False
        self._decoded[image] = None
        return True

    def rows_of(self, number: int) -> list[int]:
        """Return the rows of the image that was the `number`-th to be decoded."""
        digest = list(self._decoded)[number]
        return [int(row) for row, one in zip(self.batch.requested.rows, self._images, strict=False) if one == digest]

    def finish(self, images: BatchDecoder) -> list[bytes | ImageError]:
        """Return each image's digest, or why it is unusable."""
        done = images.finish()
        self.batch.decode_cpu_s += done.cpu_s
        self.batch.other_cpu_s += done.cpu_s
        failed = dict[bytes, ImageError]()
        for digest, result in zip(self._decoded, done.results, strict=True):
            if isinstance(result, ImageError):
                failed[digest] = result
            else:
                self.batch.sizes[digest], traits = result
                self.batch.tally.add(traits)
        self.batch.hashes = dict(zip(self.batch.sizes, map(tuple, done.hashes.tolist()), strict=True))
        if done.statistics is not None:
            self.batch.statistics = dict(zip(self.batch.sizes, done.statistics, strict=True))
        return [one if isinstance(one, ImageError) else failed.get(one, one) for one in self._images]


@contextlib.contextmanager
def time_decoding(batch: Clocked) -> Iterator[None]:
    """Count the block's seconds as decoding."""
    start, cpu = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        batch.decode_s += time.perf_counter() - start
        batch.decode_cpu_s += time.thread_time() - cpu


def time_reading(contents: Iterable[Content], batch: Clocked) -> Iterator[Content]:
    """Count the time to get each image's bytes as reading."""
    remaining = iter(contents)
    while True:
        start, cpu = time.perf_counter(), time.thread_time()
        content = next(remaining, None)
        batch.read_s += time.perf_counter() - start
        batch.read_cpu_s += time.thread_time() - cpu
        if content is None:
            return
        yield content

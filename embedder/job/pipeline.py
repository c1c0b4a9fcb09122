"""From listed images to batches of pixels: one tf.data pipeline that runs through all shards without a pause."""

import dataclasses
import hashlib
import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import ImageError, Rows, import_tensorflow
from frieze.embedder.images.decode import MAX_PIXELS, STRETCHED, decoded
from frieze.embedder.images.decoding_tally import DecodingTally, Traits
from frieze.embedder.images.resize import Pixels, fit_image
from frieze.embedder.sources import Content, Source
from frieze.features import BackboneSpec, Failure

_PREFETCHED_BATCHES = 2

_NO_ROWS = np.empty(0, np.int64)


@dataclasses.dataclass(frozen=True)
class Piece:
    """The listing's rows of one batch, before reading.

    Attributes:
        shard: Number of the shard in the plan.
        is_last: Whether the shard ends with it.
        rows: int64 [n].
    """

    shard: int
    is_last: bool
    rows: Rows


@dataclasses.dataclass
class Batch:
    """Decoded images of one shard.

    Attributes:
        piece: What was asked for.
        rows: int64 [n], the listing's rows whose bytes are those of an image.
        digests: sha256 of each row's bytes.
        sizes: For each row of `pixels` its sha256, and the image's width and height in pixels as displayed. Rows with
            equal bytes share one, and there is none for bytes that have an embedding already.
        failures: Images of the batch that could not be read or decoded.
        tally: What was told of them while they were decoded.
        pixels: [len(sizes), H, W, 3] uint8, on the engine's device.
        read_s: Seconds a thread spent reading files.
        decode_s: Seconds a thread spent decoding and resizing.
        read_cpu_s: What reading took of the processor's time.
        decode_cpu_s: What hashing, decoding and resizing took of it.
    """

    piece: Piece
    rows: Rows = dataclasses.field(default_factory=_NO_ROWS.copy)
    digests: list[bytes] = dataclasses.field(default_factory=list)
    sizes: dict[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)
    pixels: Any = None
    read_s: float = 0.0
    decode_s: float = 0.0
    read_cpu_s: float = 0.0
    decode_cpu_s: float = 0.0


class Decoder:
    """Decodes batches of a source's images for one backbone.

    Args:
        source: Gives the bytes.
        spec: Says size and fit.
        max_pixels: Largest width times height taken.
        is_known: Tells by sha256 whether bytes have an embedding already; these are not decoded.
    """

    def __init__(
        self,
        source: Source,
        spec: BackboneSpec,
        *,
        max_pixels: int = MAX_PIXELS,
        is_known: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self.source = source
        self._images = source.listing.images.select(["id", "uri", "size_bytes", "mtime_ns"])
        self._spec = spec
        self._max_pixels = max_pixels
        self._is_known = is_known

    def batch(self, piece: Piece, contents: Iterable[Content]) -> Batch:
        """Decode a batch from its images' bytes; what can't be is a failure of it."""
        batch = Batch(piece)
        good: list[int] = []
        pixels = np.empty((len(piece.rows), *self._spec.image_size, 3), np.uint8)
        for row, content in zip(piece.rows, _timed(contents, batch), strict=True):
            try:
                self._one(content, batch, pixels)
                good.append(row)
            except ImageError as error:
                batch.failures.append(self._failure(int(row), error))
        batch.rows = np.array(good, np.int64)
        batch.pixels = pixels[: len(batch.sizes)]
        return batch

    def _failure(self, row: int, error: ImageError) -> Failure:
        (image,) = self._images.slice(row, 1).to_pylist()
        facts = (error.stage, error.reason, error.message, image["size_bytes"], image["mtime_ns"])
        return Failure(image["id"], image["uri"], *facts)

    def _one(self, content: Content, batch: Batch, pixels: Pixels) -> None:
        if isinstance(content, ImageError):
            raise content
        start, cpu = time.perf_counter(), time.thread_time()
        try:
            digest = hashlib.sha256(content).digest()
            if digest not in batch.sizes and not self._is_known(digest):
                fitted = decode_and_fit(content, self._spec, max_pixels=self._max_pixels)
                pixels[len(batch.sizes)], batch.sizes[digest], traits = fitted
                batch.tally.add(traits)
            batch.digests.append(digest)
        finally:
            batch.decode_s += time.perf_counter() - start
            batch.decode_cpu_s += time.thread_time() - cpu


def _timed(contents: Iterable[Content], batch: Batch) -> Iterator[Content]:
    """Count what it takes to get each image's bytes as reading."""
    remaining = iter(contents)
    while True:
        start, cpu = time.perf_counter(), time.thread_time()
        content = next(remaining, None)
        batch.read_s += time.perf_counter() - start
        batch.read_cpu_s += time.thread_time() - cpu
        if content is None:
            return
        yield content


def decode_for(data: bytes, spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS) -> tuple[Pixels, tuple[int, int]]:
    """Turn an image's bytes into what a backbone sees.

    Returns:
        uint8 [H, W, 3], and the image's width and height in pixels as displayed.

    Raises:
        ImageError: The bytes are no image that can be used.
    """
    pixels, size, _ = decode_and_fit(data, spec, max_pixels=max_pixels)
    return pixels, size


def decode_and_fit(
    data: bytes, spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS
) -> tuple[Pixels, tuple[int, int], Traits]:
    """Do what `decode_for` does, and tell what else is told of the image."""
    stretches = spec.decoding == STRETCHED
    with decoded(data, side_px=max(spec.image_size), max_pixels=max_pixels, stretches=stretches) as found:
        pixels = fit_image(found.image, fit=spec.fit, image_size=spec.image_size)
        return pixels, found.size, found.traits


def stream(
    shards: Sequence[Rows], decoder: Decoder, *, batch_size: int, workers: int, device: str | None
) -> Generator[Batch, None, None]:
    """Decode all shards' rows, batch after batch, some batches ahead of who asks.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
        decoder: Decodes one batch; called from `workers` threads at once.
        batch_size: Images a batch; a batch never spans two shards.
        workers: Threads that decode.
        device: Where the pixels are wanted; None for the host's memory.

    Yields:
        The batches in order.
    """
    work = _Work(decoder, list(_pieces(shards, batch_size)))
    dataset = _to_dataset(work, workers=workers, device=device)
    error: BaseException | None = None
    try:
        for number, pixels in dataset:
            batch = work.decoded.pop(int(number))
            if isinstance(batch, BaseException):
                error = batch
                break
            batch.pixels = pixels
            yield batch
    except BaseException as stop:  # noqa: BLE001  whatever it is
        # Its frames hold the pipeline: where the error is shown at Python's own end, that would wait for ever.
        raise stop.with_traceback(None) from None
    if error is not None:
        raise error


class _Work:
    """What the pipeline's threads do, and what they leave; all but the pixels goes round TensorFlow.

    An error is left, too, and not raised: one that TensorFlow carries loses its type, and keeps the pipeline open.

    Attributes:
        decoded: Batch, or what went wrong with it, by its number.
    """

    def __init__(self, decoder: Decoder, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.decoded: dict[int, Batch | BaseException] = {}
        self._decoder = decoder
        self._begun: dict[int, tuple[Iterable[Content], Batch] | BaseException] = {}

    def read(self, number: Any) -> Any:
        """Ask for the bytes of a batch; one is asked for at a time."""
        try:
            self._begun[int(number)] = self._read(self.pieces[int(number)])
        except BaseException as error:  # noqa: BLE001  who asks for the batches raises it
            self._begun[int(number)] = error
        return number

    def fill(self, number: Any) -> Pixels:
        """Decode a batch; a whole batch is one call, so threads wait little for Python."""
        try:
            batch, pixels = self._fill(int(number))
        except BaseException as error:  # noqa: BLE001  who asks for the batches raises it
            self.decoded[int(number)] = error
            return np.empty((0, 0, 0, 3), np.uint8)
        self.decoded[int(number)] = batch
        return pixels

    def _read(self, piece: Piece) -> tuple[Iterable[Content], Batch]:
        source, clock = self._decoder.source, Batch(piece)
        contents = source.read(piece.rows)
        return list(_timed(contents, clock)) if source.in_order else contents, clock

    def _fill(self, number: int) -> tuple[Batch, Pixels]:
        begun = self._begun.pop(number)
        if isinstance(begun, BaseException):
            raise begun
        contents, clock = begun
        batch = self._decoder.batch(self.pieces[number], contents)
        batch.read_s, batch.read_cpu_s = batch.read_s + clock.read_s, batch.read_cpu_s + clock.read_cpu_s
        pixels, batch.pixels = batch.pixels, None
        return batch, np.asarray(pixels)


def _to_dataset(work: _Work, *, workers: int, device: str | None) -> Any:
    """Lay out the pipeline: gives the number of each batch, in order, with its pixels."""
    tf = import_tensorflow()
    dataset = (
        tf.data.Dataset.range(len(work.pieces))
        .map(lambda number: tf.ensure_shape(tf.numpy_function(work.read, [number], tf.int64), ()))  # one at a time
        .map(
            lambda number: (number, tf.numpy_function(work.fill, [number], tf.uint8)),
            num_parallel_calls=workers,
            deterministic=True,
        )
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers + 1
    options.autotune.enabled = False  # nothing is left to tune, and its thread can hold the end up for seconds
    dataset = dataset.with_options(options).prefetch(_PREFETCHED_BATCHES)
    if device is not None:
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device(device, _PREFETCHED_BATCHES))
    return dataset


def _pieces(shards: Sequence[Rows], batch_size: int) -> Iterator[Piece]:
    for shard, rows in enumerate(shards):
        parts = np.split(rows, range(batch_size, len(rows), batch_size))
        for part, is_last in zip(parts, itertools.chain([False] * (len(parts) - 1), [True]), strict=True):
            yield Piece(shard, is_last, part)

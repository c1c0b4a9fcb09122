"""From listed images to batches of pixels: one tf.data pipeline that runs through all shards without a pause."""

import dataclasses
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from embedder.decoding import HEAD_BYTES, decode, is_image
from embedder.preprocessing import Pixels, fit_image
from embedder.sources import to_path
from features import BackboneSpec, Failure, ImageError, Rows, import_tensorflow

MAX_BYTES = 1 << 30
"""Largest file taken."""

_PREFETCHED_BATCHES = 2


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """What decoding learned of an image: sha256 of its bytes (hex), width and height in pixels as displayed."""

    sha256: str
    width: int
    height: int


@dataclasses.dataclass
class Batch:
    """Decoded images of one shard.

    Attributes:
        shard: Number of the shard in the plan.
        is_last: Whether the shard ends with it.
        rows: int64, the listing's rows that were decoded.
        infos: One an image.
        failures: Images of the batch that could not be read or decoded.
        pixels: [B, H, W, 3] uint8, on the engine's device.
        read_s: Seconds a thread spent reading files.
        decode_s: Seconds a thread spent decoding and resizing.
    """

    shard: int
    is_last: bool
    rows: Rows
    infos: list[ImageInfo]
    failures: list[Failure]
    pixels: Any
    read_s: float
    decode_s: float


@dataclasses.dataclass(frozen=True)
class _Piece:
    """The rows of one batch, before decoding."""

    shard: int
    is_last: bool
    rows: Rows


class Decoder:
    """Decodes batches of a listing's rows for one backbone.

    Args:
        images: A table with the columns of `LISTING`.
        spec: Says size and fit.
    """

    def __init__(self, images: pa.Table, spec: BackboneSpec) -> None:
        self._images = images.select(["id", "uri", "size_bytes", "mtime_ns"])
        self._spec = spec

    def batch(self, piece: _Piece) -> Batch:
        """Read and decode a batch; what can't be is a failure of it."""
        batch = Batch(piece.shard, piece.is_last, piece.rows, [], [], None, 0.0, 0.0)
        good, pixels = [], []
        for row, image in zip(piece.rows, self._images.take(piece.rows).to_pylist(), strict=True):
            try:
                pixels.append(self._one(image["uri"], batch))
                good.append(row)
            except ImageError as error:
                facts = (error.stage, error.reason, error.message, image["size_bytes"], image["mtime_ns"])
                batch.failures.append(Failure(image["id"], image["uri"], *facts))
        batch.rows = np.array(good, np.int64)
        batch.pixels = np.stack(pixels) if pixels else np.empty((0, *self._spec.image_size, 3), np.uint8)
        return batch

    def _one(self, uri: str, batch: Batch) -> Pixels:
        start = time.perf_counter()
        try:
            data = read(uri)
        finally:
            decoding = time.perf_counter()
            batch.read_s += decoding - start
        try:
            pixels, size = decode_for(data, self._spec)
        finally:
            batch.decode_s += time.perf_counter() - decoding
        batch.infos.append(ImageInfo(hashlib.sha256(data).hexdigest(), *size))
        return pixels


def read(uri: str) -> bytes:
    """Read an image's bytes.

    Raises:
        ImageError: The file can't be read, is no image by its first bytes, or has more than `MAX_BYTES`.
    """
    try:
        with open(to_path(uri), "rb") as file:  # noqa: PTH123  the path is bytes: not every name is text
            head = file.read(HEAD_BYTES)
            if head and not is_image(head):  # a film named .jpg is not read to its end
                raise ImageError("decode", "not an image", "the bytes are no image of a kind that is read")
            data = head + file.read(MAX_BYTES)
    except OSError as error:
        raise ImageError("read", "unreadable", error.strerror or str(error)) from error
    if len(data) > MAX_BYTES:
        raise ImageError("read", "too large", f"the file has more than {MAX_BYTES} bytes")
    return data


def decode_for(data: bytes, spec: BackboneSpec) -> tuple[Pixels, tuple[int, int]]:
    """Turn an image's bytes into what a backbone sees.

    Returns:
        uint8 [H, W, 3], and the image's width and height in pixels as displayed.

    Raises:
        ImageError: The bytes are no image that can be used.
    """
    image, size = decode(data, side_px=max(spec.image_size))
    return fit_image(image, fit=spec.fit, image_size=spec.image_size), size


def stream(
    shards: Sequence[Rows],
    decode_batch: Callable[[_Piece], Batch],
    *,
    batch_size: int,
    workers: int,
    device: str | None,
) -> Iterator[Batch]:
    """Decode all shards' rows, batch after batch, some batches ahead of who asks.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
        decode_batch: Decodes one batch; called from `workers` threads at once.
        batch_size: Images a batch; a batch never spans two shards.
        workers: Threads that decode.
        device: Where the pixels are wanted; None for the host's memory.

    Yields:
        The batches in order.
    """
    tf = import_tensorflow()
    pieces = list(_pieces(shards, batch_size))
    decoded: dict[int, Batch] = {}

    def fill(number: Any) -> Pixels:
        # All but the pixels goes round TensorFlow; a whole batch is one call, so threads wait little for Python.
        batch = decode_batch(pieces[int(number)])
        pixels, batch.pixels = batch.pixels, None
        decoded[int(number)] = batch
        return np.asarray(pixels)

    dataset = tf.data.Dataset.range(len(pieces)).map(
        lambda number: (number, tf.numpy_function(fill, [number], tf.uint8)),
        num_parallel_calls=workers,
        deterministic=True,
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers + 1
    options.autotune.enabled = False  # nothing is left to tune, and its thread can hold the end up for seconds
    dataset = dataset.with_options(options).prefetch(_PREFETCHED_BATCHES)
    if device is not None:
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device(device, _PREFETCHED_BATCHES))
    for number, pixels in dataset:
        batch = decoded.pop(int(number))
        batch.pixels = pixels
        yield batch


def _pieces(shards: Sequence[Rows], batch_size: int) -> Iterator[_Piece]:
    for shard, rows in enumerate(shards):
        parts = np.split(rows, range(batch_size, len(rows), batch_size))
        for part, is_last in zip(parts, itertools.chain([False] * (len(parts) - 1), [True]), strict=True):
            yield _Piece(shard, is_last, part)

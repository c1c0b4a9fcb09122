"""Try several backbones on a sample of a source: its images decoded once, embedded by each, with how fast each is."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from frieze.core import Floats, InputError, Rows, count_cores, evenly_spaced
from frieze.embedder.backbones import Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.backbones.pooling import PoolError
from frieze.embedder.engines import are_gpus, find_devices
from frieze.embedder.engines.base import Engine
from frieze.embedder.engines.benchmark import measure_rate
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.calibration_sample import SIZE, CalibrationSample
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.select_engine import choose_engine
from frieze.embedder.job.shared_pipeline import stream_sample
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec, Manifest

_NO_TABLE = Path(os.devnull)
"""No graph in int8 lies there."""
CROP_SHARE = 0.7
"""Share of each side that a crop keeps."""


class TriedBackbone(NamedTuple):
    """A backbone on the sample.

    Attributes:
        spec: Its spec.
        engine: What ran it.
        images_per_second: Of a whole run, decoding included, as far as the sample shows.
        embeddings: float32 [n, D].
        crops: float32 [n, D] of a random crop of each image; None where none were asked for.
    """

    spec: BackboneSpec
    engine: str
    images_per_second: float
    embeddings: Floats
    crops: Floats | None


class TriedSample(NamedTuple):
    """Several backbones on the same images.

    Attributes:
        images: Rows of the listing: those of usable images of different bytes.
        n_failed: How many of the sample were no usable images.
        backbones: In the order of the requests.
    """

    images: pa.Table
    n_failed: int
    backbones: list[TriedBackbone]


def try_backbones(
    source: Source, rows: Rows, requests: Sequence[BackboneRequest], *, crops_seed: int | None = None
) -> TriedSample:
    """Embed a sample of a source by several backbones; each image is decoded once, and all are in memory.

    Args:
        source: The images.
        rows: int64 [n], the listing's rows of the sample, ascending.
        requests: The backbones.
        crops_seed: Seed of the crops that are embedded, too; None for none.

    Raises:
        InputError: There is no usable image, or no such backbone.
    """
    backbones = [_open(request) for request in requests]
    sample = _decode(source, rows, [backbone.spec for backbone in backbones])
    tried = [
        _try(backbone, sample, pixels, source, crops_seed)
        for backbone, pixels in zip(backbones, sample.pixels, strict=True)
    ]
    return TriedSample(source.listing.images.take(pa.array(sample.rows)), sample.n_failed, tried)


def _open(request: BackboneRequest) -> Backbone:
    """Open a backbone; its own range of pixels goes before that of the request, and so does a vector before pooling.

    Raises:
        InputError: It can't be opened with the request.
    """
    try:
        backbone = open_backbone(request)
    except PoolError:
        return _open(dataclasses.replace(request, pool=None))
    states_another = request.pixels is not None and backbone.stated_pixels.name not in (None, request.pixels)
    return open_backbone(dataclasses.replace(request, pixels=None)) if states_another else backbone


class _Sample(NamedTuple):
    """The decoded images, for each spec, and the seconds that a thread took for one."""

    rows: Rows
    n_failed: int
    pixels: list[Pixels]
    decode_s: float


def _decode(source: Source, rows: Rows, specs: Sequence[BackboneSpec]) -> _Sample:
    """Decode the sample; equal bytes count once."""
    decoded: list[dict[bytes, tuple[int, npt.NDArray[np.uint8]]]] = [{} for _ in specs]
    seconds, n_usable = 0.0, 0
    with contextlib.closing(stream_sample(source, rows, specs)) as batches:
        for shared in batches:
            seconds, n_usable = seconds + shared.read_s + shared.decode_s, n_usable + len(shared.batches[0].rows)
            for known, batch in zip(decoded, shared.batches, strict=True):
                row_of = dict(zip(reversed(batch.digests), batch.rows[::-1].tolist(), strict=True))
                pairs = zip(batch.sizes, batch.pixels, strict=True)
                known |= {digest: (row_of[digest], one) for digest, one in pairs if digest not in known}
    digests = [digest for digest in decoded[0] if all(digest in other for other in decoded[1:])]
    if not digests:
        raise InputError("There is no usable image to compare backbones on.", hint="Give a source with images.")
    pixels = [np.stack([known[digest][1] for digest in digests]) for known in decoded]
    kept = np.array([decoded[0][digest][0] for digest in digests])
    return _Sample(kept, len(rows) - n_usable, pixels, seconds / len(rows))


def _try(backbone: Backbone, sample: _Sample, pixels: Pixels, source: Source, crops_seed: int | None) -> TriedBackbone:
    few = pixels[evenly_spaced(np.arange(len(pixels)), SIZE)]
    rows = np.arange(len(source.listing.images)) if len(pixels) >= SIZE else sample.rows
    images = CalibrationSample(source, rows, backbone.spec, decode=lambda: (few, sample.decode_s))
    manifest = Manifest(spec=backbone.spec, source=source.listing.source)
    choice = choose_engine(backbone, JobOptions(), images, manifest, _NO_TABLE)
    rate = choice.tuning.get("images_per_second") or measure_rate(choice.engine, few)
    crops = None if crops_seed is None else _embed(choice.engine, crop_images(pixels, seed=crops_seed))
    speed = images_per_second(sample.decode_s, rate)
    return TriedBackbone(choice.spec, choice.engine.name, speed, _embed(choice.engine, pixels), crops)


def _embed(engine: Engine, pixels: Pixels) -> Floats:
    """Embed images; zeros stand where the backbone returns no finite numbers."""
    embeddings = engine.infer(pixels)
    return np.where(np.isfinite(embeddings).all(axis=1, keepdims=True), embeddings, np.float32(0))


def images_per_second(decode_s: float, rate: float) -> float:
    """Estimate the rate of a run, which keeps all cores busy with decoding and, without a GPU, with the network.

    Args:
        decode_s: Seconds that a thread takes to read and decode an image.
        rate: Images a second of the network alone.
    """
    cores = count_cores()
    if are_gpus(find_devices()):
        return min(rate, cores / max(decode_s, 1e-9))
    return cores / (decode_s + cores / rate)


def crop_images(pixels: Pixels, *, seed: int) -> Pixels:
    """Cut a random window out of each image, the same share of it for every size, and enlarge it.

    Args:
        pixels: uint8 [n, H, W, 3].
        seed: Of the windows.
    """
    corners = np.random.default_rng(seed).uniform(0, 1 - CROP_SHARE, (len(pixels), 2))
    height, width = pixels.shape[1:3]
    crops = np.empty_like(pixels)
    for number, (top, left) in enumerate(corners * (height, width)):
        box = (left, top, left + CROP_SHARE * width, top + CROP_SHARE * height)
        image = Image.fromarray(pixels[number])
        crops[number] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return crops


def draw_sample(labels: Sequence[str | None], n: int, *, seed: int) -> Rows:
    """Draw images at random, of each label in proportion to its images.

    Args:
        labels: Of each listed image; None for none.
        n: How many; all where there are fewer.
        seed: Of the draw.

    Returns:
        int64 [n], ascending.

    >>> draw_sample(["a"] * 6 + ["b"] * 2, 4, seed=0).tolist()
    [2, 3, 4, 6]
    """
    _, codes, counts = np.unique([str(label) for label in labels], return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(codes))
    places = np.empty(len(codes))  # in (0, 1), evenly spaced within each label
    for code, count in enumerate(counts):
        places[order[codes[order] == code]] = (np.arange(count) + 0.5) / count
    drawn: Rows = np.sort(np.argsort(places, kind="stable")[:n])
    return drawn

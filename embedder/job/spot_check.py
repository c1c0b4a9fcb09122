"""Spot check of a table: embed a random sample of its images again and compare the vectors."""

import hashlib
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from frieze.core import Floats, ImageError, Rows, unit_rows
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.open import reopen_backbone
from frieze.embedder.engines.accuracy import LEAST_COSINE
from frieze.embedder.engines.base import Engine
from frieze.embedder.images.decode import DecodeOptions
from frieze.embedder.images.limits import MAX_BYTES, Limits
from frieze.embedder.images.prepare import decode_for
from frieze.embedder.job.select_engine import default_engine
from frieze.embedder.sources.open import read_image
from frieze.features import BackboneSpec, Features

_TAKEN = Limits(max_pixels=sys.maxsize, accept_truncated=True)
"""Stored images were accepted under the limits of their own run: a check has none."""


def spot_check(table: Features, *, n: int, seed: int = 0) -> dict[str, Any]:
    """Embed random images of a table again and compare.

    Args:
        table: The table.
        n: How many, drawn at random; all if there are fewer.
        seed: Of the random draw.

    Returns:
        `sampled`, images whose bytes are unchanged; `least_cosine` of their vectors to the stored ones, null where
        there are none; `drifted`, the ids below `LEAST_COSINE`, or in a lower precision further away than its drift
        explains; `changed` and `unreadable`, the ids that could not be compared.

    Raises:
        InputError: The backbone is missing, or is another one.
    """
    backbone = reopen_backbone(table.spec, where=str(table.path))
    sample = _Sample(backbone, default_engine(backbone))
    rows = np.sort(np.random.default_rng(seed).permutation(len(table))[:n])
    with _TAKEN.hold():
        for images, embeddings in _read_rows(table, rows):
            sample.compare(images, embeddings)
    drifted = [name for name, cosine in sample.cosines.items() if cosine < _least_cosine(table.spec)]
    return {
        "sampled": len(sample.cosines),
        "least_cosine": min(sample.cosines.values(), default=None),
        "drifted": drifted,
        "changed": sample.changed,
        "unreadable": sample.unreadable,
    }


def _least_cosine(spec: BackboneSpec) -> float:
    """Return the least cosine to accept: two runs that each drifted from float32 may be twice as far apart."""
    if spec.precision == "float32" or spec.drift is None:
        return LEAST_COSINE
    return min(LEAST_COSINE, math.cos(min(math.pi / 2, 2 * math.acos(spec.drift["least_cosine"]))))


class _Sample:
    """The comparison of the images read so far."""

    def __init__(self, backbone: Backbone, engine: Engine) -> None:
        self.backbone = backbone
        self.engine = engine
        self.cosines: dict[str, float] = {}
        self.changed: list[str] = []
        self.unreadable: list[str] = []

    def read(self, image: dict[str, Any]) -> bytes:
        """Read an image of the table, or a part of one as the table decoded it."""
        spec = self.backbone.spec
        return read_image(
            image["uri"],
            max_bytes=max(MAX_BYTES, image["size_bytes"] or 0),
            options=DecodeOptions(max(spec.image_size), _TAKEN.max_pixels, spec.decoding),
            sha256=image["sha256"] or "",
        )

    def compare(self, images: list[dict[str, Any]], stored: Floats) -> None:
        """Embed images whose bytes have not changed, and record their cosines to the stored vectors."""
        pixels, kept = [], []
        for row, image in enumerate(images):
            try:
                data = self.read(image)
                if hashlib.sha256(data).hexdigest() != image["sha256"]:
                    self.changed.append(image["id"])
                    continue
                pixels.append(decode_for(data, self.backbone.spec, max_pixels=_TAKEN.max_pixels)[0])
                kept.append(row)
            except ImageError:
                self.unreadable.append(image["id"])
        if kept:
            cosines = (unit_rows(self.engine.infer(np.stack(pixels))) * unit_rows(stored[kept])).sum(axis=1)
            ids = (images[row]["id"] for row in kept)
            self.cosines |= dict(zip(ids, cosines.round(7).tolist(), strict=True))


def _read_rows(table: Features, rows: Rows) -> Iterator[tuple[list[dict[str, Any]], Floats]]:
    """Yield some rows of a table in small batches: ids, URIs and hashes, and embeddings."""
    start = 0
    for ids, embeddings in table.batches(batch_size=64):
        in_batch = rows[(rows >= start) & (rows < start + len(ids))]
        if len(in_batch):
            images = table.rows.take(in_batch).select(["id", "uri", "sha256", "size_bytes"]).to_pylist()
            yield images, embeddings[in_batch - start]
        start += len(ids)

"""What a worker of a cluster does: one backbone, loaded once, and shard after shard into a file of rows."""

import contextlib
import dataclasses
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import ImageError, Rows, TablePath, evenly_spaced, not_visible_error, write_new_file
from frieze.embedder.backbones import Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.images.decoding_tally import DecodingTally
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import embed_batches
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.pipeline import Decoder, stream
from frieze.embedder.job.select_engine import Choice, choose_engine
from frieze.embedder.job.shard_writer import ShardBuffer
from frieze.embedder.job.timing import Stages
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec, Failure, Manifest, Part, check_same_backbone, is_features, write_part


@dataclasses.dataclass(frozen=True)
class Work:
    """What every worker is told once.

    Attributes:
        source: The listed source; all workers see the same files.
        request: The backbone.
        options: How.
        out: The table's folder, which all workers see.
    """

    source: Source
    request: BackboneRequest
    options: JobOptions
    out: TablePath


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a piece of work.

    Attributes:
        part: The file of its rows, to be renamed; None where no image of it could be used.
        digests: sha256 of each row's bytes.
        failures: The images that could not.
        n_embedded: Images that ran through the backbone; others had the bytes of one that did.
        stages: Where the time went.
        host: The machine's name.
        tally: What was told of the images while they were decoded.
    """

    part: Part | None
    digests: tuple[bytes, ...]
    failures: tuple[Failure, ...]
    n_embedded: int
    stages: Stages
    host: str
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)


_LOOKED_AT = 8
"""Images of which one at least must be there."""


class Worker:
    """One pipeline, and the cores that are its own.

    Args:
        work: What is to be done.
        cores: Numbers of the cores it may use, among those it is given; None for all.
    """

    def __init__(self, work: Work, cores: range | None = None) -> None:
        self._work = work
        self._cores = cores
        self._held = contextlib.ExitStack()
        self._backbone: Backbone
        self._choice: Choice

    def greet(self) -> str:
        """Return the machine's name, as soon as there is room for this worker on it."""
        return socket.gethostname()

    def load(self) -> None:
        """Load the backbone.

        Raises:
            InputError: This machine does not see the table or the images.
        """
        if self._cores is not None:
            _keep_to(self._cores)
        _check_sees(self._work)
        self._held.enter_context(self._work.options.limits.hold())
        self._backbone = open_backbone(self._work.request)

    def choose(self, rows: Rows, manifest: Manifest) -> tuple[str, dict[str, Any], BackboneSpec]:
        """Choose the engine, as a run on this machine alone would.

        Args:
            rows: int64, the listing's rows that it is tried on.
            manifest: What features.json says; what another worker chose is taken, where it can be.

        Returns:
            The engine's name, its tuning and the spec for features.json.

        Raises:
            MismatchError: The backbone is another one here.
        """
        options, backbone = self._work.options, self._backbone
        check_same_backbone(backbone.spec, manifest.spec, where="the table", hint="Give all machines the same file.")
        probe = CalibrationSample(self._work.source, rows, backbone.spec, options.limits.max_pixels)
        self._choice = choose_engine(backbone, options, probe, manifest)
        return self._choice.engine.name, self._choice.tuning, self._choice.spec

    def embed(self, rows: Rows, file: Path) -> Outcome:
        """Embed some rows of the listing into a file; it appears whole, or the outcome does not.

        Args:
            rows: int64 [n], ascending, n >= 1.
            file: Where they are written.
        """
        source, choice, known = self._work.source, self._choice, EmbeddingCache(_nothing_stored, {})
        max_pixels, filling, stages, n_embedded = self._work.options.limits.max_pixels, ShardBuffer(), Stages(), 0
        tally = DecodingTally()
        batches = stream(
            [rows],
            Decoder(source, choice.spec, max_pixels=max_pixels, is_known=known.__contains__),
            batch_size=choice.batch_size,
            workers=choice.workers,
            device=choice.engine.device,
        )
        with contextlib.closing(batches):
            for batch, seen, n_run in embed_batches(batches, choice.engine, known, stages):
                filling.take(batch, seen, source.listing.images)
                n_embedded += n_run
                tally.merge(batch.tally)
        if not filling.seen and all(failure.stage == "read" for failure in filling.failures):
            _check_sees(self._work)  # still: else this worker would call the whole plan missing
        began = time.thread_time()
        with stages.waiting("write"):
            part = self._write(filling, file) if filling.seen else None
        stages.end(write_cpu_s=time.thread_time() - began)
        facts = part, tuple(filling.digests), tuple(filling.failures), n_embedded, stages, socket.gethostname()
        return Outcome(*facts, tally)

    def _write(self, filling: ShardBuffer, file: Path) -> Part:
        table = filling.laid_out(self._work.source.listing.images, self._choice.spec)
        write_new_file(file, lambda path: write_part(table, path))
        return Part.of(file, len(table))


def _nothing_stored(_: int) -> Any:
    raise KeyError


def _keep_to(cores: range) -> None:
    """Keep every thread of this process to its share of the cores; those to come begin where they were begun."""
    own = sorted(os.sched_getaffinity(0))
    share = {own[core % len(own)] for core in cores}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), share)


def _check_sees(work: Work) -> None:
    """Refuse to begin where every image would be missing, or nobody would find what is written."""
    for what, is_seen in ((work.out, is_features(work.out)), (work.source.listing.source, _sees_some(work.source))):
        if not is_seen:
            raise not_visible_error(what, "images and table")


def _sees_some(source: Source) -> bool:
    rows = evenly_spaced(np.arange(len(source.listing.images)), _LOOKED_AT)
    return any(not isinstance(one, ImageError) or one.stage != "read" for one in source.read(rows))

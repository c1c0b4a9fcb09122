"""A Ray worker: load the backbone once, then embed slice after slice of rows, each into a staged Parquet file."""

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
from frieze.embedder.job.inference import DecodePool, embed_rows, open_pool
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.select_engine import EngineChoice, choose_engine
from frieze.embedder.job.shard_writer import ShardBuffer
from frieze.embedder.job.timing import StageTimes
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec, Failure, Manifest, Part, check_same_backbone, is_features, write_part


@dataclasses.dataclass(frozen=True)
class WorkerConfig:
    """What every worker gets once.

    Attributes:
        source: The listed source; all workers see the same files.
        request: The backbone.
        options: How images are embedded.
        out: The table's folder, which all workers see.
        has_perceptual_hashes: Whether the table has the columns of perceptual hashes.
        has_statistics: Whether the table has the columns of picture statistics.
    """

    source: Source
    request: BackboneRequest
    options: JobOptions
    out: TablePath
    has_perceptual_hashes: bool = False
    has_statistics: bool = False


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """The result of a slice.

    Attributes:
        part: The staged file of its rows; None where no image was usable.
        digests: sha256 of each row's bytes.
        failures: The images that were not.
        n_embedded: Images that ran through the backbone; the others are duplicates of one that did.
        times: Seconds of each stage.
        host: The machine's name.
        tally: Traits of the images, counted while they were decoded.
    """

    part: Part | None
    digests: tuple[bytes, ...]
    failures: tuple[Failure, ...]
    n_embedded: int
    times: StageTimes
    host: str
    tally: DecodingTally = dataclasses.field(default_factory=DecodingTally)


_N_CHECKED = 8
"""Images of which at least one must be readable."""


class Worker:
    """One input pipeline and one engine, pinned to its cores.

    Args:
        config: What to embed, and how.
        cores: Numbers of the cores it may use, among those of the process; None for all.
    """

    def __init__(self, config: WorkerConfig, cores: range | None = None) -> None:
        self._config = config
        self._cores = cores
        self._held = contextlib.ExitStack()
        self._backbone: Backbone
        self._choice: EngineChoice
        self._pool: DecodePool

    def hostname(self) -> str:
        """Return the machine's name, as soon as the machine has room for this worker."""
        return socket.gethostname()

    def load(self) -> None:
        """Load the backbone.

        Raises:
            InputError: This machine does not see the table or the images.
        """
        if self._cores is not None:
            _pin_threads(self._cores)
        _check_sees(self._config)
        self._held.enter_context(self._config.options.limits.hold())
        self._backbone = open_backbone(self._config.request)

    def choose_engine(self, rows: Rows, manifest: Manifest) -> tuple[str, dict[str, Any], BackboneSpec]:
        """Choose the engine, as a run on this machine alone would.

        Args:
            rows: int64, the listing's rows that engines are tried on.
            manifest: The table's; the choice that it holds is reused if this machine supports it.

        Returns:
            The engine's name, its tuning and the spec for features.json.

        Raises:
            MismatchError: The backbone is another one on this machine.
        """
        options, backbone = self._config.options, self._backbone
        check_same_backbone(backbone.spec, manifest.spec, where="the table", hint="Give all machines the same file.")
        sample = CalibrationSample(self._config.source, rows, backbone.spec, options.limits)
        self._choice = choose_engine(backbone, options, sample, manifest, self._config.out)
        self._choice.store_graph(self._config.out)
        computed = {"hashes": self._config.has_perceptual_hashes, "statistics": self._config.has_statistics}
        self._pool = self._held.enter_context(open_pool(self._choice, options.limits, **computed))
        return self._choice.engine.name, self._choice.tuning, self._choice.spec

    def embed(self, rows: Rows, file: Path) -> SliceResult:
        """Embed rows of the listing into a file, which appears complete or not at all.

        Args:
            rows: int64 [n], ascending, n >= 1.
            file: The staged file to write.
        """
        source = self._config.source
        buffer, times, tally, n_embedded = ShardBuffer(), StageTimes(), DecodingTally(), 0
        with embed_rows([rows], source, self._choice, EmbeddingCache(), times, self._pool) as batches:
            for embedded in batches:
                buffer.add(embedded, source.listing.images)
                n_embedded += embedded.n_inferred
                tally.merge(embedded.batch.tally)
        if not buffer.embeddings and all(failure.stage == "read" for failure in buffer.failures):
            _check_sees(self._config)  # again: else this worker would call all images missing
        started = time.thread_time()
        with times.waiting("write"):
            part = self._write(buffer, file) if buffer.embeddings else None
        times.end(write_cpu_s=time.thread_time() - started)
        return SliceResult(
            part, tuple(buffer.digests), tuple(buffer.failures), n_embedded, times, socket.gethostname(), tally
        )

    def _write(self, buffer: ShardBuffer, file: Path) -> Part:
        table = buffer.to_table(
            self._config.source.listing.images,
            self._choice.spec,
            has_perceptual_hashes=self._config.has_perceptual_hashes,
            has_statistics=self._config.has_statistics,
        )
        write_new_file(file, lambda path: write_part(table, path))
        return Part.of(file, len(table))


def _pin_threads(cores: range) -> None:
    """Pin every thread of this process to its cores; threads started later inherit them."""
    available = sorted(os.sched_getaffinity(0))
    pinned = {available[core % len(available)] for core in cores}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), pinned)


def _check_sees(config: WorkerConfig) -> None:
    """Check that this machine sees the images and the table: else all images would count as missing."""
    source = config.source
    for what, is_visible in ((config.out, is_features(config.out)), (source.listing.source, _can_read(source))):
        if not is_visible:
            raise not_visible_error(what, "images and table")


def _can_read(source: Source) -> bool:
    rows = evenly_spaced(np.arange(len(source.listing.images)), _N_CHECKED)
    return any(not isinstance(one, ImageError) or one.stage != "read" for one in source.read(rows))

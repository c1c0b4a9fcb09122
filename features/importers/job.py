"""Import vectors made elsewhere into a table of features, in chunks, so that an interrupted import can resume."""

import dataclasses
import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import Floats, InputError, MismatchError, TablePath, hash_file, to_parameters
from frieze.features.failures import Failure, count_reasons
from frieze.features.importers.columns import CHUNK_ROWS, find_width, map_columns, read_chunks
from frieze.features.importers.formats import VectorFiles, VectorOptions, name_below, open_vectors
from frieze.features.importers.parquet import name_broken
from frieze.features.manifest import Manifest, is_features, read_manifest
from frieze.features.part_files import part_name
from frieze.features.paths import check_table_dir
from frieze.features.plan import Shard
from frieze.features.replacement import replace_table
from frieze.features.schema import to_embeddings
from frieze.features.spec import MADE_ELSEWHERE, BackboneSpec, check_same_backbone
from frieze.features.writer import FeatureWriter, open_writer

_VERSIONS = ("frieze", "numpy", "pyarrow")

Progress = Callable[[int, int], None]
"""Called with the rows done and the rows to do."""


def import_vectors(
    path: Path,
    out: TablePath,
    *,
    options: VectorOptions,
    force: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Import vectors made elsewhere into a table of features, with 4,096 rows in memory at a time.

    Each chunk of rows becomes the part of its number. An interrupted import resumes.

    Args:
        path: What `open_vectors` takes.
        out: The table's folder; made when missing.
        options: Which column is what.
        force: Replace the table; the old one stays until the new one is complete.
        progress: Called after each chunk.

    Returns:
        The document of `frieze import --json`.

    Raises:
        InputError: Something the user can fix; stored rows stay.
        MismatchError: The table at `out` was imported from other files or with other options.
    """
    began = time.perf_counter()
    out = out.absolute()
    check_table_dir(out)
    files = open_vectors(path, options)
    task = _Task(files, options, _manifest(files, options), progress)
    if force and is_features(out):
        with replace_table(out, can_resume=task.can_resume) as new_dir:
            document = task.update(new_dir)
    else:
        document = task.update(out)
    return document | {"seconds": round(time.perf_counter() - began, 3), "out": str(out)}


def check_can_embed(spec: BackboneSpec, *, where: str, hint: str) -> None:
    """Refuse to embed an image for imported vectors: their network is not known.

    Args:
        spec: The spec of the stored vectors.
        where: What stores them, for the message.
        hint: What to do instead.

    Raises:
        InputError: The vectors were imported.
    """
    if spec.is_made_elsewhere:
        raise InputError(
            f"{where} holds vectors made elsewhere, imported from {spec.handle}: Frieze can't embed an image for them.",
            hint=hint,
        )


def _manifest(files: VectorFiles, options: VectorOptions) -> Manifest:
    spec = BackboneSpec(
        name=files.path.name if files.path.is_dir() else files.path.stem,
        handle=str(files.path),
        fingerprint=_fingerprint(files),
        dim=find_width(files),
        image_size=(0, 0),
        fit=MADE_ELSEWHERE,
        pixels=MADE_ELSEWHERE,
        decoding=MADE_ELSEWHERE,
    )
    return Manifest(
        spec=spec,
        source=str(files.path),
        request=options.to_json(),
        versions={name: importlib.metadata.version(name) for name in _VERSIONS},
    )


def _fingerprint(files: VectorFiles) -> str:
    """Hash the bytes of one file, or the names and hashes of several."""
    hashes = []
    for path in files.all_paths:
        with name_broken(path):
            hashes.append((name_below(path, files.path), hash_file(path)))
    return hashes[0][1] if len(hashes) == 1 else hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _as_options(manifest: Manifest) -> str:
    options = {name: value for name, value in manifest.request.items() if value is not None}
    return to_parameters(options) if options else "no options"


class _VectorStatistics:
    """Counts zero vectors and constant columns.

    Attributes:
        n_zero: The number of vectors of zeros.
    """

    def __init__(self) -> None:
        self.n_zero = 0
        self._n_rows = 0
        self._minimum: Floats | None = None
        self._maximum: Floats | None = None

    def add(self, embeddings: Floats) -> None:
        """Add vectors, float32 [n, D]."""
        if len(embeddings) == 0:
            return
        self._n_rows += len(embeddings)
        self.n_zero += int((~embeddings.any(axis=1)).sum())
        minimum, maximum = embeddings.min(axis=0), embeddings.max(axis=0)
        self._minimum = minimum if self._minimum is None else np.minimum(minimum, self._minimum)
        self._maximum = maximum if self._maximum is None else np.maximum(maximum, self._maximum)

    @property
    def n_constant(self) -> int:
        """The number of columns with the same value in all vectors; 0 for fewer than two vectors."""
        if self._minimum is None or self._maximum is None or self._n_rows < 2:  # noqa: PLR2004  one vector has no variation
            return 0
        return int((self._minimum == self._maximum).sum())


@dataclasses.dataclass(frozen=True)
class _Task:
    """An import."""

    files: VectorFiles
    options: VectorOptions
    manifest: Manifest
    progress: Progress
    statistics: _VectorStatistics = dataclasses.field(default_factory=_VectorStatistics)

    def update(self, out: TablePath) -> dict[str, Any]:
        """Add the missing rows to a table."""
        self.check_same(out)
        with open_writer(out, self.manifest) as writer:
            unchanged, notes = writer.manifest.n_rows, []
            if unchanged + len(writer.failed) != self.files.rows:  # each row is either stored or failed
                notes = self._add_missing(writer)
            writer.update()
            return {
                "rows": writer.manifest.n_rows,
                "imported": writer.manifest.n_rows - unchanged,
                "unchanged": unchanged,
                "failed": len(writer.failed),
                "failures": count_reasons(writer.failed),
                "n_zero": self.statistics.n_zero,
                "constant": self.statistics.n_constant,
                "dim": self.manifest.spec.dim,
                "backbone": self.manifest.spec.name,
            } | ({"notes": notes} if notes else {})

    def check_same(self, out: TablePath) -> None:
        """Refuse a table that was imported from other files or with other options."""
        if not is_features(out):
            return
        before = read_manifest(out)
        hint = f"Use another `out`, or replace {out} with `force=True`."
        check_same_backbone(self.manifest.spec, before.spec, where=str(out), hint=hint)
        for what, got, stored in (
            ("from", self.manifest.source, before.source),
            ("with", _as_options(self.manifest), _as_options(before)),
        ):
            if got != stored:
                raise MismatchError(f"{out} was imported {what} {stored}, not {what} {got}.", hint=hint)

    def can_resume(self, new_dir: Path) -> bool:
        """Return whether an unfinished table is of this import."""
        try:
            self.check_same(new_dir)
        except InputError:  # broken, or of another import
            return False
        return True

    def _add_missing(self, writer: FeatureWriter) -> list[str]:
        """Add the missing parts, and failures that a crash kept out of failures.parquet; return notes."""
        self.progress(0, self.files.rows)
        stored = {part.name: part.rows for part in writer.manifest.parts}
        known = {Failure(**row) for row in writer.failed.to_pylist()}
        mapping = map_columns(self.files, self.options, writer.manifest.spec)
        ends = [*range(CHUNK_ROWS, self.files.rows, CHUNK_ROWS), self.files.rows]
        is_complete = [stored.get(part_name(number)) == end - number * CHUNK_ROWS for number, end in enumerate(ends)]
        for number, chunk in read_chunks(self.files, [*is_complete, False].index(False)):
            if is_complete[number]:
                continue
            converted = [mapping.to_rows(row_range) for row_range in chunk]
            failures = [failure for _, some in converted for failure in some if failure not in known]
            if part_name(number) in stored:
                writer.add_failures(failures)
            else:
                rows = pa.concat_tables([rows for rows, _ in converted])
                self.statistics.add(to_embeddings(rows["embedding"]))
                writer.commit(Shard(number, np.arange(len(rows))), rows, failures)
            self.progress(ends[number], self.files.rows)
        return list(mapping.notes)

"""The import job: vectors made elsewhere, piece by piece, into a table of features."""

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

from frieze.core import Floats, InputError, MismatchError, TablePath, hash_file, to_command_line
from frieze.features.failures import Failure, count_reasons
from frieze.features.importers.columns import PIECE_ROWS, find_width, lay_out, read_pieces
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
    """Bring vectors made elsewhere into a table of features; one piece of 4,096 rows is in memory at a time.

    Every piece becomes the part of its number. A table that was begun is gone on with.

    Args:
        path: What `open_vectors` takes.
        out: The table's folder; made when missing.
        options: What stands where.
        force: Make the table anew; the old one stays until the new one is whole.
        progress: Told after each piece.

    Returns:
        The document of `frieze import --json`.

    Raises:
        InputError: Something the user can mend; what is stored stays.
        MismatchError: The table at `out` was made from something else, or otherwise.
    """
    began = time.perf_counter()
    out = out.absolute()
    check_table_dir(out)
    files = open_vectors(path, options)
    task = _Task(files, options, _manifest(files, options), progress)
    if force and is_features(out):
        with replace_table(out, can_resume=task.can_resume) as fresh:
            document = task.bring_up_to_date(fresh)
    else:
        document = task.bring_up_to_date(out)
    return document | {"seconds": round(time.perf_counter() - began, 3), "out": str(out)}


def check_can_embed(spec: BackboneSpec, *, where: str, hint: str) -> None:
    """Refuse to embed an image for vectors made elsewhere: nothing here can make another of them.

    Args:
        spec: Of what is stored.
        where: What holds it, for the message.
        hint: What to do instead.

    Raises:
        InputError: They were made elsewhere.
    """
    if spec.is_made_elsewhere:
        raise InputError(
            f"{where} holds vectors made elsewhere, imported from {spec.handle}: Frieze can't make one of an image.",
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
    asked = {name: value for name, value in manifest.request.items() if value is not None}
    return to_command_line(asked) or "no options"


class _Spread:
    """What the vectors of a run differ in.

    Attributes:
        n_zero: Those that are all zeros.
    """

    def __init__(self) -> None:
        self.n_zero = 0
        self._n_rows = 0
        self._least: Floats | None = None
        self._most: Floats | None = None

    def add(self, embeddings: Floats) -> None:
        """Look at some, float32 [n, D]."""
        if len(embeddings) == 0:
            return
        self._n_rows += len(embeddings)
        self.n_zero += int((~embeddings.any(axis=1)).sum())
        least, most = embeddings.min(axis=0), embeddings.max(axis=0)
        self._least = least if self._least is None else np.minimum(least, self._least)
        self._most = most if self._most is None else np.maximum(most, self._most)

    @property
    def n_constant(self) -> int:
        """How many columns hold the same number in all of them; 0 where there is one vector or none."""
        if self._least is None or self._most is None or self._n_rows < 2:  # noqa: PLR2004  one differs from none
            return 0
        return int((self._least == self._most).sum())


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is to be imported, and how."""

    files: VectorFiles
    options: VectorOptions
    manifest: Manifest
    progress: Progress
    spread: _Spread = dataclasses.field(default_factory=_Spread)

    def bring_up_to_date(self, out: TablePath) -> dict[str, Any]:
        """Add what a table lacks."""
        self.check_same(out)
        with open_writer(out, self.manifest) as writer:
            unchanged, notes = writer.manifest.n_rows, []
            if unchanged + len(writer.failed) != self.files.rows:  # each row is in one of both
                notes = self._add_missing(writer)
            writer.update()
            return {
                "rows": writer.manifest.n_rows,
                "imported": writer.manifest.n_rows - unchanged,
                "unchanged": unchanged,
                "failed": len(writer.failed),
                "failures": count_reasons(writer.failed),
                "n_zero": self.spread.n_zero,
                "constant": self.spread.n_constant,
                "dim": self.manifest.spec.dim,
                "backbone": self.manifest.spec.name,
            } | ({"notes": notes} if notes else {})

    def check_same(self, out: TablePath) -> None:
        """Refuse a table that was made from something else, or otherwise."""
        if not is_features(out):
            return
        before = read_manifest(out)
        hint = f"Give another --out, or replace {out} with --force."
        check_same_backbone(self.manifest.spec, before.spec, where=str(out), hint=hint)
        for what, got, wanted in (
            ("from", self.manifest.source, before.source),
            ("with", _as_options(self.manifest), _as_options(before)),
        ):
            if got != wanted:
                raise MismatchError(f"{out} was imported {what} {wanted}, not {what} {got}.", hint=hint)

    def can_resume(self, fresh: Path) -> bool:
        """Tell whether a table that an earlier run began is the one that this run would make."""
        try:
            self.check_same(fresh)
        except InputError:  # it is broken, or another import's
            return False
        return True

    def _add_missing(self, writer: FeatureWriter) -> list[str]:
        """Add the parts that are missing, and the failures that a kill kept from failures.parquet; give notes."""
        self.progress(0, self.files.rows)
        stored = {part.name: part.rows for part in writer.manifest.parts}
        known = {Failure(**row) for row in writer.failed.to_pylist()}
        layout = lay_out(self.files, self.options, writer.manifest.spec)
        ends = [*range(PIECE_ROWS, self.files.rows, PIECE_ROWS), self.files.rows]
        is_whole = [stored.get(part_name(number)) == end - number * PIECE_ROWS for number, end in enumerate(ends)]
        for number, chunks in read_pieces(self.files, [*is_whole, False].index(False)):
            if is_whole[number]:
                continue
            made = [layout.to_rows(chunk) for chunk in chunks]
            failures = [failure for _, some in made for failure in some if failure not in known]
            if part_name(number) in stored:
                writer.add_failures(failures)
            else:
                rows = pa.concat_tables([rows for rows, _ in made])
                self.spread.add(to_embeddings(rows["embedding"]))
                writer.commit(Shard(number, np.arange(len(rows))), rows, failures)
            self.progress(ends[number], self.files.rows)
        return list(layout.notes)

"""Verify a stored table part by part: files, hashes, counts, backbone, columns, ids and vectors."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from frieze.core import (
    FeatureFileError,
    Floats,
    MismatchError,
    TablePath,
    counted,
    hash_file,
    is_being_written,
    to_parquet_source,
)
from frieze.features.failures import read_failures
from frieze.features.importers.equal_files import EqualFiles
from frieze.features.int8_graph import read_graph
from frieze.features.manifest import PARTS, Part, read_manifest
from frieze.features.part_files import describe_part, name_broken_part, read_schema
from frieze.features.paths import part_files
from frieze.features.schema import to_embeddings, wrong_columns
from frieze.features.snapshot import Snapshot
from frieze.features.spec import check_same_backbone

_BATCH_ROWS = 4096
_COLUMNS = "columns"
"""The check without which the rows can't be read."""
_MAX_IDS = 20
"""The maximum number of ids in a problem; all are counted."""
_RERUN = "Run the command that made the table again: it completes what was interrupted."
_BEING_WRITTEN = "A run is writing to this table: only what it had committed before this check was checked."
_REWRITE = "Delete that file and run the command that made the table again: it writes its rows anew."


@dataclasses.dataclass(frozen=True)
class Problem:
    """One failed check.

    Attributes:
        check: What was checked, in a word or two.
        where: The file, or the ids.
        message: The details.
        hint: What to type or change.
    """

    check: str
    where: str
    message: str
    hint: str

    def to_json(self) -> dict[str, str]:
        """Return the problem as `frieze verify --json` writes it; its hint is called `mend` there."""
        return {"check": self.check, "where": self.where, "message": self.message, "mend": self.hint}


def verify_features(path: TablePath) -> dict[str, Any]:
    """Check a table: its files, hashes, counts, backbone, columns, ids and vectors.

    Args:
        path: The table's folder.

    Returns:
        `problems`, a list of dicts with the fields of `Problem`; `rows`, `parts` and `bytes` that were read; `n_zero`
        and `zero_vectors`, the number of images with a vector of zeros (their cosine to anything is 0) and the first
        ids; `notes` on what was not checked, where there are any.

    Raises:
        FeatureFileError: There is no table, features.json can't be read, or a part was replaced too long ago.
    """
    while True:
        check, problems, notes = _begin(path)
        for part in check.manifest.parts:
            problems.extend(check.part(part))
        if not (problems and check.snapshot.is_moved()):  # else another table replaced it: check that one
            break
    return {
        "problems": [problem.to_json() for problem in problems],
        "rows": check.n_rows,
        "parts": len(check.manifest.parts),
        "bytes": check.n_bytes,
        "n_zero": len(check.zero),
        "zero_vectors": check.zero[:_MAX_IDS],
    } | ({"notes": notes} if notes else {})


def _begin(path: TablePath) -> tuple["_Check", list[Problem], list[str]]:
    """Compare features.json with the files beside it, unless a run is writing, which changes both."""
    while True:
        check = _Check(Snapshot(path))
        problems = [*check.names(), *check.graph(), *check.counts()]
        if is_being_written(path):
            return check, [], [_BEING_WRITTEN]
        if not problems or read_manifest(path) == check.manifest:
            return check, problems, []


@dataclasses.dataclass
class _PartReport:
    """The content of a part, and its problems."""

    n_bytes: int = 0
    ids: list[str] = dataclasses.field(default_factory=list)
    zero: list[str] = dataclasses.field(default_factory=list)
    hashes: list[str | None] = dataclasses.field(default_factory=list)
    projected: list[tuple[complex, float]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)


class _Check:
    """The state of one verification."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.path = snapshot.folder
        self.manifest = snapshot.manifest
        self.ids: set[str] = set()
        self.equal = EqualFiles(self.manifest.spec.dim)
        self.zero: list[str] = []
        self.n_rows = 0
        self.n_bytes = 0

    def names(self) -> Iterator[Problem]:
        """Check that features.json names all parts that are there."""
        named = {part.name for part in self.manifest.parts}
        for name in sorted({file.name for file in part_files(self.path)} - named):
            yield Problem("parts", str(self.path / PARTS / name), "features.json does not name it", _RERUN)

    def graph(self) -> Iterator[Problem]:
        """Check the graph in int8, by which later rows are made."""
        try:
            read_graph(self.path, self.manifest)
        except FeatureFileError as error:
            yield Problem("graph", str(self.path), error.message, error.hint)

    def counts(self) -> Iterator[Problem]:
        """Check failures.parquet against features.json."""
        try:
            n_failed = len(read_failures(self.path))
        except FeatureFileError as error:
            yield Problem("failures", str(self.path), error.message, error.hint)
            return
        if n_failed != self.manifest.n_failed:
            message = f"failures.parquet has {counted(n_failed, 'row')}, features.json says {self.manifest.n_failed:,}"
            yield Problem("counts", str(self.path), message, _RERUN)

    def part(self, part: Part) -> Iterator[Problem]:
        """Check one part: its bytes, then its content.

        Raises:
            FeatureFileError: It was replaced meanwhile and is not kept any more.
        """
        file, kept = self.path / PARTS / part.name, self.snapshot.kept_file(part)
        report = self._check_file(file, part)
        if kept.is_file():  # the file may have been replaced while it was read
            report = self._check_file(kept, part)
        elif report.problems and not self.snapshot.is_named(part):
            raise self.snapshot.error_of(part)
        yield from report.problems
        repeated = sorted(self.ids.intersection(report.ids) | _duplicates(report.ids))
        if repeated:
            yield _of_ids(
                "ids", str(file), "image is there more than once", "images are there more than once", repeated
            )
        others = [report.ids[row - self.n_rows] for _, row in self.equal.add(report.hashes, report.projected)]
        if others:
            one = "image has the sha256 of another one and another vector"
            many = "images have the sha256 of another one and another vector"
            yield _of_ids("equal files", str(file), one, many, others)
        self.ids.update(report.ids)
        self.zero.extend(report.zero)
        self.n_rows += len(report.ids)
        self.n_bytes += report.n_bytes

    def _check_file(self, file: TablePath, part: Part) -> _PartReport:
        report = _PartReport()
        try:
            if not file.is_file():
                report.problems.append(
                    Problem("parts", str(file), "features.json names it, and it is not there", _RERUN)
                )
                return report
            with name_broken_part(file):
                report.n_bytes = file.stat().st_size
                sha256 = hash_file(file)
            if sha256 != part.sha256:
                report.problems.append(
                    Problem("hash", str(file), "its bytes are not those that were written", _REWRITE)
                )
            report.problems.extend(self._check_schema(file, part))
            if _COLUMNS not in (problem.check for problem in report.problems):
                _read_rows(file, report, self.equal)
        except FeatureFileError as error:
            report.problems.append(Problem("readable", str(file), error.message, _REWRITE))
        return report

    def _check_schema(self, file: TablePath, part: Part) -> Iterator[Problem]:
        stored, rows = describe_part(file)
        if rows != part.rows:
            yield Problem(
                "counts", str(file), f"it has {counted(rows, 'row')}, features.json says {part.rows:,}", _RERUN
            )
        try:
            check_same_backbone(stored, self.manifest.spec, where="features.json", hint=_REWRITE)
        except MismatchError as error:
            yield Problem("backbone", str(file), error.message, error.hint)
        schema = read_schema(file)
        columns = {
            "has_perceptual_hashes": self.manifest.has_perceptual_hashes,
            "has_statistics": self.manifest.has_statistics,
        }
        for message in wrong_columns(schema, stored, **columns):
            yield Problem(_COLUMNS, str(file), message, _REWRITE)


def _read_rows(file: TablePath, report: _PartReport, equal: EqualFiles) -> None:
    """Read ids, hashes and vectors into a report, and find vectors that are not finite or zero."""
    with name_broken_part(file), pq.ParquetFile(to_parquet_source(file)) as opened:
        for batch in opened.iter_batches(batch_size=_BATCH_ROWS, columns=["id", "sha256", "embedding"]):
            ids, embeddings = batch["id"].to_pylist(), to_embeddings(batch["embedding"])
            not_finite = [ids[row] for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1))]
            if not_finite:
                one, many = "image has a vector that is not finite", "images have a vector that is not finite"
                report.problems.append(_of_ids("vectors", str(file), one, many, not_finite))
            report.ids.extend(ids)
            report.hashes.extend(batch["sha256"].to_pylist())
            report.projected.extend(equal.project(embeddings))
            report.zero.extend(ids[row] for row in _zero_rows(embeddings))


def _duplicates(ids: list[str]) -> set[str]:
    return {name for name, count in collections.Counter(ids).items() if count > 1}


def _zero_rows(embeddings: Floats) -> list[int]:
    return np.flatnonzero(~embeddings.any(axis=1)).tolist()


def _of_ids(check: str, where: str, one: str, many: str, ids: list[str]) -> Problem:
    names = ", ".join(ids[:_MAX_IDS]) + (", ..." if len(ids) > _MAX_IDS else "")
    return Problem(check, where, f"{counted(len(ids), one, many)}: {names}", _REWRITE)

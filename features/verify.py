"""Re-checking all that was promised about a stored table, part by part, without holding it in memory."""

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
from frieze.features.manifest import PARTS, Part, read_manifest
from frieze.features.part_files import describe_part, name_broken_part, read_schema
from frieze.features.paths import part_files
from frieze.features.schema import to_embeddings, wrong_columns
from frieze.features.snapshot import Snapshot
from frieze.features.spec import check_same_backbone

_BATCH_ROWS = 4096
_COLUMNS = "columns"
"""Where these are not right, nothing more can be said of the rows."""
_NAMED = 20
"""How many ids are named of one kind of fault; all are counted."""
_AGAIN = "Run again what made the table: it finishes what was cut short."
_WRITTEN = "A run is writing to this table: what it had committed when this check began was checked."
_ANEW = "Delete that file and run again what made the table: its rows are made anew."


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken promise.

    Attributes:
        check: What was checked, in a word or two.
        where: The file, or the ids.
        message: What was found.
        hint: What to type or change.
    """

    check: str
    where: str
    message: str
    hint: str

    def to_json(self) -> dict[str, str]:
        """Return the problem as `frieze verify --json` writes it; its hint is called `hint` there."""
        return {"check": self.check, "where": self.where, "message": self.message, "mend": self.hint}


def verify_features(path: TablePath) -> dict[str, Any]:
    """Check a table: its files, hashes, counts, backbone, columns, ids and vectors.

    Args:
        path: The table's folder.

    Returns:
        `problems`, a list of dicts with the fields of `Problem`; `rows`, `parts` and `bytes` that were read; `n_zero`
        and `zero_vectors`, how many images have a vector of zeros (their cosine to anything is 0) and the first ids;
        `notes`, what was not checked, in words, where there is such a thing.

    Raises:
        FeatureFileError: There is no table, features.json can't be read, or it went on changing for too long.
    """
    while True:
        check, problems, notes = _begin(path)
        for part in check.manifest.parts:
            problems.extend(check.part(part))
        if not (problems and check.snapshot.is_moved()):  # else another table has taken its place: check that one
            break
    return {
        "problems": [problem.to_json() for problem in problems],
        "rows": check.n_rows,
        "parts": len(check.manifest.parts),
        "bytes": check.n_bytes,
        "n_zero": len(check.zero),
        "zero_vectors": check.zero[:_NAMED],
    } | ({"notes": notes} if notes else {})


def _begin(path: TablePath) -> tuple["_Check", list[Problem], list[str]]:
    """Hold features.json against what lies beside it, unless a run is at work there, which changes both."""
    while True:
        check = _Check(Snapshot(path))
        problems = [*check.names(), *check.counts()]
        if is_being_written(path):
            return check, [], [_WRITTEN]
        if not problems or read_manifest(path) == check.manifest:
            return check, problems, []


@dataclasses.dataclass
class _Found:
    """What a part says, and what is wrong with it."""

    n_bytes: int = 0
    ids: list[str] = dataclasses.field(default_factory=list)
    zero: list[str] = dataclasses.field(default_factory=list)
    hashes: list[str | None] = dataclasses.field(default_factory=list)
    projected: list[tuple[complex, float]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)


class _Check:
    """One look at a table, and what it met."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.path = snapshot.folder
        self.manifest = snapshot.manifest
        self.seen: set[str] = set()
        self.equal = EqualFiles(self.manifest.spec.dim)
        self.zero: list[str] = []
        self.n_rows = 0
        self.n_bytes = 0

    def names(self) -> Iterator[Problem]:
        """Check that features.json names all parts that are there."""
        named = {part.name for part in self.manifest.parts}
        for name in sorted({file.name for file in part_files(self.path)} - named):
            yield Problem("parts", str(self.path / PARTS / name), "features.json does not name it", _AGAIN)

    def counts(self) -> Iterator[Problem]:
        """Check failures.parquet against features.json."""
        try:
            found = len(read_failures(self.path))
        except FeatureFileError as error:
            yield Problem("failures", str(self.path), error.message, error.hint)
            return
        if found != self.manifest.n_failed:
            message = f"failures.parquet has {counted(found, 'row')}, features.json says {self.manifest.n_failed:,}"
            yield Problem("counts", str(self.path), message, _AGAIN)

    def part(self, part: Part) -> Iterator[Problem]:
        """Check one part: its bytes, then what they say.

        Raises:
            FeatureFileError: It was replaced meanwhile and could not be kept for so long.
        """
        file, kept = self.path / PARTS / part.name, self.snapshot.kept_file(part)
        found = self._look(file, part)
        if kept.is_file():  # what was looked at may be another part by now
            found = self._look(kept, part)
        elif found.problems and not self.snapshot.is_named(part):
            raise self.snapshot.error_of(part)
        yield from found.problems
        repeated = sorted(self.seen.intersection(found.ids) | _twice(found.ids))
        if repeated:
            yield _of_ids(
                "ids", str(file), "image is there more than once", "images are there more than once", repeated
            )
        others = [found.ids[row - self.n_rows] for _, row in self.equal.add(found.hashes, found.projected)]
        if others:
            one = "image has the sha256 of another one and another vector"
            many = "images have the sha256 of another one and another vector"
            yield _of_ids("equal files", str(file), one, many, others)
        self.seen.update(found.ids)
        self.zero.extend(found.zero)
        self.n_rows += len(found.ids)
        self.n_bytes += found.n_bytes

    def _look(self, file: TablePath, part: Part) -> _Found:
        found = _Found()
        try:
            if not file.is_file():
                found.problems.append(
                    Problem("parts", str(file), "features.json names it, and it is not there", _AGAIN)
                )
                return found
            with name_broken_part(file):
                found.n_bytes = file.stat().st_size
                sha256 = hash_file(file)
            if sha256 != part.sha256:
                found.problems.append(Problem("hash", str(file), "its bytes are not those that were written", _ANEW))
            found.problems.extend(self._layout(file, part))
            if _COLUMNS not in (problem.check for problem in found.problems):
                _read_rows(file, found, self.equal)
        except FeatureFileError as error:
            found.problems.append(Problem("readable", str(file), error.message, _ANEW))
        return found

    def _layout(self, file: TablePath, part: Part) -> Iterator[Problem]:
        stored, rows = describe_part(file)
        if rows != part.rows:
            yield Problem(
                "counts", str(file), f"it has {counted(rows, 'row')}, features.json says {part.rows:,}", _AGAIN
            )
        try:
            check_same_backbone(stored, self.manifest.spec, where="features.json", hint=_ANEW)
        except MismatchError as error:
            yield Problem("backbone", str(file), error.message, error.hint)
        schema = read_schema(file)
        for message in wrong_columns(schema, stored):
            yield Problem(_COLUMNS, str(file), message, _ANEW)


def _read_rows(file: TablePath, found: _Found, equal: EqualFiles) -> None:
    """Read ids, hashes and vectors, and note which of these are not finite, or zeros."""
    with name_broken_part(file), pq.ParquetFile(to_parquet_source(file)) as opened:
        for batch in opened.iter_batches(batch_size=_BATCH_ROWS, columns=["id", "sha256", "embedding"]):
            ids, embeddings = batch["id"].to_pylist(), to_embeddings(batch["embedding"])
            not_finite = [ids[row] for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1))]
            if not_finite:
                one, many = "image has a vector that is not finite", "images have a vector that is not finite"
                found.problems.append(_of_ids("vectors", str(file), one, many, not_finite))
            found.ids.extend(ids)
            found.hashes.extend(batch["sha256"].to_pylist())
            found.projected.extend(equal.project(embeddings))
            found.zero.extend(ids[row] for row in _zero_rows(embeddings))


def _twice(ids: list[str]) -> set[str]:
    return {name for name, count in collections.Counter(ids).items() if count > 1}


def _zero_rows(embeddings: Floats) -> list[int]:
    return np.flatnonzero(~embeddings.any(axis=1)).tolist()


def _of_ids(check: str, where: str, one: str, many: str, ids: list[str]) -> Problem:
    names = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
    return Problem(check, where, f"{counted(len(ids), one, many)}: {names}", _ANEW)

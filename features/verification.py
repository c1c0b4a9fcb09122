"""Re-checking all that was promised about a stored table, part by part, without holding it in memory."""

import collections
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Floats
from features.buckets import to_parquet_source
from features.errors import FeatureFileError, MismatchError
from features.files import hash_file
from features.listing import read_failures
from features.manifest import PARTS, Manifest, Part, read_manifest
from features.ownership import part_files
from features.parts import describe_part, name_broken_part, read_schema
from features.plural import counted
from features.schema import to_embeddings, wrong_columns
from features.spec import check_same_backbone

_BATCH_ROWS = 4096
_COLUMNS = "columns"
"""Where these are not right, nothing more can be said of the rows."""
_NAMED = 20
"""How many ids are named of one kind of fault; all are counted."""
_AGAIN = "Run again what made the table: it finishes what was cut short."
_ANEW = "Delete that file and run again what made the table: its rows are made anew."


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken promise.

    Attributes:
        check: What was checked, in a word or two.
        where: The file, or the ids.
        message: What was found.
        mend: What to type or change.
    """

    check: str
    where: str
    message: str
    mend: str


def verify_features(path: Path) -> dict[str, Any]:
    """Check a table: its files, hashes, counts, backbone, columns, ids and vectors.

    Args:
        path: The table's folder.

    Returns:
        `problems`, a list of dicts with the fields of `Problem`; `rows`, `parts` and `bytes` that were read; `n_zero`
        and `zero_vectors`, how many images have a vector of zeros (their cosine to anything is 0) and the first ids.

    Raises:
        FeatureFileError: There is no table, or features.json can't be read.
    """
    check = _Check(path, read_manifest(path))
    problems = [*check.names(), *check.counts()]
    for part in check.manifest.parts:
        problems.extend(check.part(part))
    return {
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "rows": check.n_rows,
        "parts": len(check.manifest.parts),
        "bytes": check.n_bytes,
        "n_zero": len(check.zero),
        "zero_vectors": check.zero[:_NAMED],
    }


class _Check:
    """One look at a table, and what it met."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.seen: set[str] = set()
        self.zero: list[str] = []
        self.n_rows = 0
        self.n_bytes = 0

    def names(self) -> Iterator[Problem]:
        """Check that features.json names the parts that are there, and no others."""
        there = {file.name for file in part_files(self.path)}
        named = {part.name for part in self.manifest.parts}
        for name in sorted(named - there):
            yield Problem("parts", str(self.path / PARTS / name), "features.json names it, and it is not there", _AGAIN)
        for name in sorted(there - named):
            yield Problem("parts", str(self.path / PARTS / name), "features.json does not name it", _AGAIN)

    def counts(self) -> Iterator[Problem]:
        """Check failures.parquet against features.json."""
        try:
            found = len(read_failures(self.path))
        except FeatureFileError as error:
            yield Problem("failures", str(self.path), error.message, error.mend)
            return
        if found != self.manifest.n_failed:
            message = f"failures.parquet has {counted(found, 'row')}, features.json says {self.manifest.n_failed:,}"
            yield Problem("counts", str(self.path), message, _AGAIN)

    def part(self, part: Part) -> Iterator[Problem]:
        """Check one part: its bytes, then what they say."""
        file = self.path / PARTS / part.name
        if not file.exists():
            return
        try:
            with name_broken_part(file):
                self.n_bytes += file.stat().st_size
                sha256 = hash_file(file)
            if sha256 != part.sha256:
                yield Problem("hash", str(file), "its bytes are not those that were written", _ANEW)
            problems = list(self._layout(file, part))
            yield from problems
            if _COLUMNS not in (problem.check for problem in problems):
                yield from self._rows(file)
        except FeatureFileError as error:
            yield Problem("readable", str(file), error.message, _ANEW)

    def _layout(self, file: Path, part: Part) -> Iterator[Problem]:
        stored, rows = describe_part(file)
        if rows != part.rows:
            yield Problem(
                "counts", str(file), f"it has {counted(rows, 'row')}, features.json says {part.rows:,}", _AGAIN
            )
        try:
            check_same_backbone(stored, self.manifest.spec, where="features.json", mend=_ANEW)
        except MismatchError as error:
            yield Problem("backbone", str(file), error.message, error.mend)
        schema = read_schema(file)
        for message in wrong_columns(schema, stored):
            yield Problem(_COLUMNS, str(file), message, _ANEW)

    def _rows(self, file: Path) -> Iterator[Problem]:
        with name_broken_part(file), pq.ParquetFile(to_parquet_source(file)) as opened:
            for batch in opened.iter_batches(batch_size=_BATCH_ROWS, columns=["id", "embedding"]):
                yield from self._batch(str(file), batch)

    def _batch(self, where: str, batch: pa.RecordBatch) -> Iterator[Problem]:
        ids, embeddings = batch["id"].to_pylist(), to_embeddings(batch["embedding"])
        self.n_rows += len(ids)
        repeated = sorted({name for name in ids if name in self.seen} | _twice(ids))
        if repeated:
            yield _of_ids("ids", where, "image is there more than once", "images are there more than once", repeated)
        self.seen.update(ids)
        not_finite = [ids[row] for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1))]
        if not_finite:
            yield _of_ids(
                "vectors",
                where,
                "image has a vector that is not finite",
                "images have a vector that is not finite",
                not_finite,
            )
        self.zero.extend(ids[row] for row in _zero_rows(embeddings))


def _twice(ids: list[str]) -> set[str]:
    return {name for name, count in collections.Counter(ids).items() if count > 1}


def _zero_rows(embeddings: Floats) -> list[int]:
    return np.flatnonzero(~embeddings.any(axis=1)).tolist()


def _of_ids(check: str, where: str, one: str, many: str, ids: list[str]) -> Problem:
    names = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
    return Problem(check, where, f"{counted(len(ids), one, many)}: {names}", _ANEW)

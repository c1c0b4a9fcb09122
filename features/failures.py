"""Failures: images that can't be used, stored in failures.parquet and counted by reason."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from frieze.core import TablePath, to_parquet_source, translate_errors, write_file
from frieze.features.schema import FAILURES

FAILURES_NAME = "failures.parquet"

EMPTY_FOLDER = "empty folder"

_HIDING = ("unreadable", "damaged archive", EMPTY_FOLDER)


@dataclasses.dataclass(frozen=True)
class Failure:
    """One unusable image.

    Attributes:
        id: Its stored name.
        uri: Its path or URL.
        stage: `list`, `read`, `decode` or `embed`.
        reason: A word or two that can be counted.
        message: The details.
        size: Bytes, None where unknown.
        mtime: Nanoseconds since 1970, None where unknown.
    """

    id: str
    uri: str
    stage: str
    reason: str
    message: str
    size: int | None = None
    mtime: int | None = None

    @property
    def hides_rows(self) -> bool:
        """Whether its stored rows, and those below it, may still exist in the source, so that they must stay."""
        return self.stage == "list" and self.reason in _HIDING


def to_failures(failures: Sequence[Failure]) -> pa.Table:
    """Convert failures to rows of failures.parquet."""
    return pa.Table.from_pylist([dataclasses.asdict(failure) for failure in failures], schema=FAILURES)


def read_failures(folder: TablePath) -> pa.Table:
    """Read a folder's failures.parquet; a table of no rows where there is none.

    Raises:
        FeatureFileError: The file is broken.
    """
    path = folder / FAILURES_NAME
    if not path.exists():
        return FAILURES.empty_table()
    hint = "Delete it: the next run finds the failures again."
    with translate_errors(f"{path} can't be read", hint=hint, errors=(pa.ArrowException, OSError)):
        return pq.read_table(to_parquet_source(path), schema=FAILURES)


def write_failures(folder: TablePath, failures: pa.Table) -> None:
    """Replace a folder's failures.parquet."""
    write_file(folder / FAILURES_NAME, lambda staging: pq.write_table(failures, staging))


def count_reasons(failures: pa.Table) -> dict[str, int]:
    """Count failures by reason, most frequent first."""
    return dict(Counter(failures["reason"].to_pylist()).most_common())

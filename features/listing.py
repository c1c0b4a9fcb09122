"""What a source holds, and what became of it."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.arrays import Rows
from features.buckets import to_parquet_source
from features.errors import FeatureFileError
from features.files import write_file
from features.schema import FAILURES

FAILURES_NAME = "failures.parquet"
EMPTY_FOLDER = "empty folder"
_HIDING = ("unreadable", "damaged archive", EMPTY_FOLDER)


@dataclasses.dataclass(frozen=True)
class Failure:
    """One image that can't be used.

    Attributes:
        id: Its stored name.
        uri: Where it is.
        stage: `list`, `read`, `decode` or `embed`.
        reason: A word or two that can be counted.
        message: What was found.
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
        """Whether nobody knows if what is stored of it, or of what lies in it, is gone."""
        return self.stage == "list" and self.reason in _HIDING


@dataclasses.dataclass(frozen=True)
class Listing:
    """All candidate images of a source, in its stable order.

    Attributes:
        source: The source, as an absolute path or URL.
        images: A table with the columns of `LISTING`.
        failures: What could not even be listed.
        n_ignored: Files that are no images and do not claim to be.
        ignored: How many of these there are of which format, pictures of formats that are not read among them.
        n_hidden: Files and folders that are left out by rule: hidden ones, and what systems put beside pictures.
        excluded: How many files and folders each pattern of the user's left out.
        empty: Folders with nothing in them, each as the failure that it is where a table has rows of it.
    """

    source: str
    images: pa.Table
    failures: tuple[Failure, ...] = ()
    n_ignored: int = 0
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    n_hidden: int = 0
    excluded: Mapping[str, int] = dataclasses.field(default_factory=dict)
    empty: tuple[Failure, ...] = ()


def to_failures(failures: Sequence[Failure]) -> pa.Table:
    """Lay failures out as rows of failures.parquet."""
    return pa.Table.from_pylist([dataclasses.asdict(failure) for failure in failures], schema=FAILURES)


def read_failures(folder: Path) -> pa.Table:
    """Read a folder's failures.parquet; a table of no rows where there is none.

    Raises:
        FeatureFileError: The file is broken.
    """
    path = folder / FAILURES_NAME
    if not path.exists():
        return FAILURES.empty_table()
    try:
        return pq.read_table(to_parquet_source(path), schema=FAILURES)
    except (pa.ArrowException, OSError) as error:
        raise FeatureFileError(
            f"{path} can't be read: {error}.", mend="Delete it: the failures are found again by the next run."
        ) from error


def write_failures(folder: Path, failures: pa.Table) -> None:
    """Replace a folder's failures.parquet."""
    write_file(folder / FAILURES_NAME, lambda staging: pq.write_table(failures, staging))


def count_reasons(failures: pa.Table) -> dict[str, int]:
    """Count failures by reason, most frequent first."""
    return dict(Counter(failures["reason"].to_pylist()).most_common())


def first_of_each(images: pa.Table) -> tuple[Rows, list[Failure]]:
    """Find the first row of each id; the others become failures.

    Args:
        images: A table with the columns of `LISTING`.

    Returns:
        The rows that stay, int64 in ascending order, and a failure for each row left out.
    """
    ids = images["id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return np.arange(len(ids)), []
    _, first = np.unique(ids.to_numpy(), return_index=True)
    repeats = np.delete(np.arange(len(ids)), first)
    return np.sort(first), [_repeated(row) for row in images.take(repeats).to_pylist()]


def _repeated(row: dict[str, object]) -> Failure:
    message = "another image of the source has the same id"
    return Failure(str(row["id"]), str(row["uri"]), "list", "repeated id", message)

"""Parquet files made elsewhere: which column holds vectors, and reading from any row on."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InputError

BATCH_ROWS = 4096
"""Rows that are read at once, at most."""

Batch = tuple[dict[str, pa.Array], pa.Array]
"""The columns of some rows, and their vectors as an Arrow array of lists."""

_BUFFER_BYTES = 1 << 20
_MANY = 10
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@contextlib.contextmanager
def name_broken(path: Path, *, mend: str = "Check the file; if it is broken, write it anew.") -> Iterator[None]:
    """Turn what goes wrong while a user's file is read into an error that names it.

    Raises:
        InputError: The file is missing, broken or of another form.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}.", mend=mend) from error


def read_head(path: Path) -> tuple[int, pa.Schema]:
    """Give a Parquet file's row count and schema.

    Raises:
        InputError: It can't be read, or two columns have one name.
    """
    with _open_table(path) as table:
        rows, schema = table.metadata.num_rows, table.schema_arrow
    if len(set(schema.names)) < len(schema.names):
        raise InputError(f"{path} has two columns of one name.", mend="Write it anew, with names that differ.")
    return rows, schema


def choose_embedding(path: Path, schemas: Sequence[pa.Schema], asked: str | None) -> str:
    """Choose the column of vectors.

    Args:
        path: What was given, for the message.
        schemas: Of each file, one or more.
        asked: The column that was asked for; by default `embedding`, or the only one with lists of numbers.

    Raises:
        InputError: There is none in every file, or several and none was asked for.
    """
    found: list[str] = [name for name in schemas[0].names if all(_has_vectors(schema, name) for schema in schemas)]
    wanted = "embedding" if asked is None else asked
    if wanted in found:
        return wanted
    if asked is None and len(found) == 1:
        return found[0]
    what = "one column" if asked is None else f"a column {asked}"
    there = f"has these: {list_names(found)}" if found else f"has none, only: {list_names(schemas[0].names)}"
    raise InputError(
        f"Wanted is {what} of lists of numbers; {path} {there}.", mend="Name the column with --embedding COLUMN."
    )


def _has_vectors(schema: pa.Schema, name: str) -> bool:
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    kind = getattr(kind, "storage_type", kind)  # a tensor lies on top of lists
    is_list = any(is_one(kind) for is_one in _LISTS)
    return is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def list_names(names: Sequence[str]) -> str:
    """Write the first of some names.

    >>> list_names(["a", "b"]), list_names([])
    ('a, b', 'no column')
    """
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return (", ".join(names[:_MANY]) or "no column") + more


def read_batches(path: Path, start: int = 0, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read row `start` and all after it.

    Args:
        path: A Parquet file.
        start: Its first row that is wanted.
        columns: The columns that are wanted; None for all.

    Raises:
        InputError: The file is broken.
    """
    with _open_table(path) as table:
        groups = list(range(table.num_row_groups))
        while groups and (n_rows := table.metadata.row_group(groups[0]).num_rows) <= start:
            start -= n_rows
            groups.pop(0)
        for batch in table.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns):
            batch.validate(full=True)  # Parquet does not promise that text is UTF-8
            if start < len(batch):
                yield batch.slice(start)
            start = max(start - len(batch), 0)


def to_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Give a batch's columns by name."""
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def read_vectors(path: Path, embedding: str, start: int) -> Iterator[Batch]:
    """Read columns and vectors of row `start` and all after it.

    Raises:
        InputError: The file is broken.
    """
    for batch in read_batches(path, start):
        columns = to_columns(batch)
        lists = columns.pop(embedding)
        yield columns, getattr(lists, "storage", lists)


def read_column(path: Path, name: str) -> Iterator[pa.Array]:
    """Read one column.

    Raises:
        InputError: The file is broken.
    """
    return (batch[name] for batch in read_batches(path, columns=[name]))


@contextlib.contextmanager
def _open_table(path: Path) -> Iterator[Any]:
    with (
        name_broken(path),
        path.open("rb") as file,  # by Python: Arrow takes no name that is not UTF-8
        # Without a buffer a row group is held whole, and some files have only one.
        pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as table,
    ):
        yield table

"""Read a table of labels, such as CSV, into a file of labels beside it, once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import InputError, counted, write_file
from frieze.web.labels.history import LABEL
from frieze.web.labels.label_file import COLUMNS

_HINT = (
    "Give a table with a column of ids or paths and one of labels, or a name that ends in .parquet and is free,"
    " for a new file of labels."
)


class ImportedLabels(NamedTuple):
    """A file of labels that can be opened.

    Attributes:
        path: Its Parquet file.
        notes: Sentences on what was read into it, none for a file that the page wrote.
    """

    path: Path
    notes: list[str]


def import_labels(path: Path, ids: pa.ChunkedArray, *, is_read_only: bool) -> ImportedLabels:
    """Return the file of labels that a table of labels is read into, `NAME.labels.parquet` beside `NAME.csv`.

    The table is left as it is. Where the file is there already, the table is not read again.

    Args:
        path: The table, or a file of labels that the page wrote, or makes.
        ids: The ids of the images, which the table may name by path or file name.
        is_read_only: Whether nothing may be written.

    Raises:
        InputError: The table can't be read, or names no image; or the page is read-only.
    """
    if not _is_foreign(path):
        return ImportedLabels(path, [])
    target = path.with_name(f"{path.stem}.labels.parquet")
    if target.exists():
        note = (
            f"{path} was read into {target} before, and is not read now; to read it, delete {target.name} and its log."
        )
        return ImportedLabels(target, [note])
    if is_read_only:
        hint = "Start the page without `read_only` once: it is read into a file beside it."
        raise InputError(f"{path} is no file of labels that the page wrote.", hint=hint)
    table, notes = _read(path, ids)
    write_file(target, lambda staging: pq.write_table(table, staging))
    count = counted(len(table), "label")
    return ImportedLabels(target, [f"Read {count} from {path} into {target}, which the page changes.", *notes])


def _is_foreign(path: Path) -> bool:
    """Return whether a file is there that the page did not write."""
    if not path.is_file():
        return False
    try:
        return path.suffix.lower() != ".parquet" or not set(COLUMNS) <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return False  # opening it says what is wrong


def _read(path: Path, ids: pa.ChunkedArray) -> tuple[pa.Table, list[str]]:
    """Return the labels of a table as the page writes them, and what was to note."""
    import frieze.embedder

    file = frieze.embedder.read_labels(path, hint=_HINT)
    match = file.find(ids, of="index")
    labels = file.labels.take(match.at)
    is_labelled = pc.is_valid(labels)
    named, given = (values.filter(is_labelled).to_pylist() for values in (ids, labels))
    rows = {"id": named, LABEL: given, "when": [datetime.now(UTC)] * len(named)}
    empty = {"tags": [[]] * len(named), "who": [None] * len(named), "held_out": [[]] * len(named)}
    table = pa.table({name: pa.array((rows | empty)[name], kind) for name, kind in COLUMNS.items()})
    notes = list(match.notes)
    if match.n_unmatched:
        notes.append(f"{counted(match.n_unmatched, 'row')} of {path} name no image of the index, and are left out.")
    return table, notes

"""The labels that heads learn and are measured by: those in a table, of one of its columns, or of a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.api.folder_kinds import check_kind
from frieze.api.paths import is_url, open_table, to_place
from frieze.core import InputError, Strings
from frieze.features import Features, to_text

_MEND = (
    "Say where the labels of these images are: --label COLUMN of the table, --labels FILE,"
    " or --label label for those that stand in the table."
)


def open_labelled(path: str | Path, *, labels: str | Path | None, label: str | None) -> tuple[Features, dict[str, Any]]:
    """Open a table under the labels that are asked for.

    Args:
        path: The table's folder.
        labels: A file of labels; None for those of the table.
        label: The column of labels, of the file where there is one, else of the table; None for the usual one.

    Returns:
        table: All its rows; those that the column or the file has no label for have none.
        told: What the document of a command says of it: `labels`, where they came from, or None where they stand in the
            table, and `unmatched_labels`, the rows of the file that name no image, or None where there is no file; and
            `label_notes`, what of the file was read or matched otherwise than one may think.

    Raises:
        InputError: There is no such table, column or file, or the file can't be joined to the table.
    """
    table = open_table(path)
    if labels is not None:
        return _with_file(table, str(labels), label)
    table = table if label is None else _with_column(table, label)
    return table, {"labels": table.labels_from, "unmatched_labels": None, "label_notes": []}


def open_labelled_as(
    head: str | Path, path: str | Path, *, labels: str | Path | None, label: str | None
) -> tuple[Features, dict[str, Any]]:
    """Open a table as `open_labelled` does; where nothing is asked for, the labels are from where the head's were.

    Raises:
        InputError: As there, or the column or file of the head's labels is not there.
    """
    import frieze.classifiers

    place = to_place(head)
    check_kind(place, "head")
    noted = frieze.classifiers.read_labels_from(place)
    if labels is not None or label is not None or noted is None:
        return open_labelled(path, labels=labels, label=label)
    table, column = open_table(path), noted["column"]
    if "file" in noted:
        _check_is_there(noted["file"], place)
        return _with_file(table, noted["file"], column, hint=_MEND)
    if column not in table.rows.column_names:
        raise InputError(f"{path} has no column {column}, which the labels of {head} came from.", hint=_MEND)
    return _with_column(table, column), {"labels": noted, "unmatched_labels": None, "label_notes": []}


def _check_is_there(file: str, head: Path) -> None:
    if not is_url(file) and not Path(file).is_file():
        raise InputError(f"The labels of {head} came from {file}, which is not there any more.", hint=_MEND)


def _with_column(table: Features, name: str) -> Features:
    if name not in table.rows.column_names:
        raise InputError(
            f"{table.path} has no column {name}; there are: {', '.join(table.rows.column_names)}.",
            hint="Name one of these with --label, or give a file of labels with --labels.",
        )
    return table.with_labels(_to_text(table.rows[name], name, str(table.path)), labels_from={"column": name})


def _to_text(column: pa.ChunkedArray, name: str, place: str) -> Strings:
    """Give a column's values as text; what is unknown, empty or no number (NaN) is None."""
    try:
        texts = to_text(column, name, place)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The column {name} is of type {column.type}; labels are text, numbers or dates.",
            hint="Name another column with --label, or give a file of labels with --labels.",
        ) from error
    known = pc.if_else(pc.is_null(column, nan_is_null=True), pa.scalar(None, pa.string()), texts)
    return np.array([text or None for text in known.to_pylist()], dtype=object)


def _with_file(table: Features, labels: str, label: str | None, **asked: Any) -> tuple[Features, dict[str, Any]]:
    import frieze.embedder

    file = frieze.embedder.read_labels(labels if is_url(labels) else to_place(labels), label=label, **asked)
    at, n_unmatched, notes = file.find(table.rows["id"], of="table")
    found = np.array(file.labels.take(at).to_pylist(), dtype=object)
    labels_from = {"file": file.uri, "column": file.label}
    told = {"labels": labels_from, "unmatched_labels": n_unmatched, "label_notes": list(notes)}
    return table.with_labels(found, labels_from=labels_from), told

"""The source of labels: the table itself, one of its columns, or a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.api.folder_kinds import check_kind
from frieze.api.paths import is_url, open_table, to_local_path
from frieze.core import InputError, Strings
from frieze.features import Features, are_multilabel, to_text

_HINT = (
    "Say where the labels of these images are: `label='COLUMN'` of the table, `labels='FILE'`,"
    " or `label='label'` for those stored in the table."
)


def absolute_labels(labels: str | Path | None) -> str | Path | None:
    """Make the path of a file of labels absolute; `folder`, `none` and a URL stay."""
    from frieze.embedder import LABELS

    is_path = labels not in (None, "", *LABELS) and not is_url(str(labels))
    return str(to_local_path(str(labels))) if is_path else labels


def open_labelled(path: str | Path, *, labels: str | Path | None, label: str | None) -> tuple[Features, dict[str, Any]]:
    """Open a table with labels of its own, of one of its columns, or of a file.

    Args:
        path: The table's folder.
        labels: A file of labels; None for those of the table.
        label: The column of labels, of the file where there is one, else of the table; None for the usual one.

    Returns:
        table: All its rows; rows without a label in the column or file have None. A column of lists, unless each has
            exactly one label, is that of `Features.with_label_lists`.
        label_info: Fields of a command's document: `labels`, where they came from (None for the table's own),
            `unmatched_labels`, rows of the file that match no image (None without a file), and `label_notes`, warnings
            about how the file was read or matched.

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
    """Open a table as `open_labelled` does; by default with labels from the head's column or file.

    Raises:
        InputError: As there, or the column or file of the head's labels is missing.
    """
    import frieze.classifiers

    head_path = to_local_path(head)
    check_kind(head_path, "head")
    labels_from = frieze.classifiers.read_labels_from(head_path)
    if labels is not None or label is not None or labels_from is None:
        return open_labelled(path, labels=labels, label=label)
    table, column = open_table(path), labels_from["column"]
    if "file" in labels_from:
        _check_exists(labels_from["file"], head_path)
        return _with_file(table, labels_from["file"], column, hint=_HINT)
    if column not in table.rows.column_names:
        raise InputError(f"{path} has no column {column}, which the labels of {head} came from.", hint=_HINT)
    return _with_column(table, column), {"labels": labels_from, "unmatched_labels": None, "label_notes": []}


def _check_exists(file: str, head: Path) -> None:
    if not is_url(file) and not Path(file).is_file():
        raise InputError(f"The labels of {head} came from {file}, which is not there any more.", hint=_HINT)


def _with_column(table: Features, name: str) -> Features:
    if name not in table.rows.column_names:
        raise InputError(
            f"{table.path} has no column {name}; there are: {', '.join(table.rows.column_names)}.",
            hint="Name one of these with `label`, or give a file of labels with `labels`.",
        )
    column, labels_from = table.rows[name], {"column": name}
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _with_lists(table, column, labels_from)
    return table.with_labels(_to_text(column, name, str(table.path)), labels_from=labels_from)


def _with_lists(table: Features, lists: pa.ChunkedArray, labels_from: dict[str, str]) -> Features:
    """Return a table with lists of labels; with labels where each list has exactly one."""
    texts = lists.cast(pa.list_(pa.string()))
    if are_multilabel(texts):
        return table.with_label_lists(texts, labels_from=labels_from)
    return table.with_labels(pc.list_element(texts, 0).to_numpy(), labels_from=labels_from)


def _to_text(column: pa.ChunkedArray, name: str, where: str) -> Strings:
    """Return a column's values as text; null, empty text and NaN become None."""
    try:
        texts = to_text(column, name, where)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The column {name} is of type {column.type}; labels are text, numbers or dates.",
            hint="Name another column with `label`, or give a file of labels with `labels`.",
        ) from error
    known = pc.if_else(pc.is_null(column, nan_is_null=True), pa.scalar(None, pa.string()), texts)
    return np.array([text or None for text in known.to_pylist()], dtype=object)


def _with_file(table: Features, labels: str, label: str | None, **hint: Any) -> tuple[Features, dict[str, Any]]:
    import frieze.embedder

    file = frieze.embedder.read_labels(labels if is_url(labels) else to_local_path(labels), label=label, **hint)
    rows, n_unmatched, notes = file.find(table.rows["id"], of="table")
    labels_from = {"file": file.uri, "column": file.label}
    label_info = {"labels": labels_from, "unmatched_labels": n_unmatched, "label_notes": list(notes)}
    if file.lists is not None:
        return table.with_label_lists(file.lists.take(rows), labels_from=labels_from), label_info
    joined, notes_on_labels = file.over(table.rows["label"], rows)
    values = np.array(joined.to_pylist(), dtype=object)
    label_info["label_notes"] = [*notes, *notes_on_labels]
    return table.with_labels(values, labels_from=labels_from), label_info

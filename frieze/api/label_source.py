"""The source of labels: the table itself, one of its columns, or a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.api.folder_kinds import check_kind
from frieze.api.paths import is_url, open_table, to_local_path
from frieze.core import InputError, Strings
from frieze.features import Features, are_multilabel, is_list, to_text

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
    return table, {"labels": table.labels_from, "unmatched_labels": None, "label_notes": _notes_on_labels(table)}


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
    if is_list(column.type):
        return _with_lists(table, name, labels_from)
    return table.with_labels(_to_strings(_to_text(column, name, table)), labels_from=labels_from)


def _with_lists(table: Features, name: str, labels_from: dict[str, str]) -> Features:
    """Return a table with lists of labels, without missing items; with labels where each list has exactly one."""
    column = table.rows[name]
    lists = column.cast(pa.list_(column.type.value_type)).combine_chunks()
    texts = _to_text(pc.list_flatten(lists), name, table)
    rows = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).fill_null(0).to_numpy())
    lengths = np.bincount(rows[texts.is_valid().to_numpy(zero_copy_only=False)], minlength=len(lists))
    offsets = pa.array(np.append(0, lengths.cumsum()), pa.int32())
    known = pa.chunked_array([pa.ListArray.from_arrays(offsets, texts.drop_null(), mask=lists.is_null())])
    if are_multilabel(known):
        return table.with_label_lists(known, labels_from=labels_from)
    return table.with_labels(_to_strings(pc.list_element(known, 0)), labels_from=labels_from)


def _to_text(values: pa.Array | pa.ChunkedArray, name: str, table: Features) -> pa.Array | pa.ChunkedArray:
    """Return the values of a column, or of its lists, as text; null, empty text and NaN become null."""
    try:
        texts = to_text(values, name, str(table.path))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The column {name} is of type {table.rows[name].type}; labels are text, numbers or dates, or lists of"
            " these.",
            hint="Name another column with `label`, or give a file of labels with `labels`.",
        ) from error
    is_missing = pc.or_kleene(pc.is_null(values, nan_is_null=True), pc.equal(texts, ""))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)


def _to_strings(column: pa.Array | pa.ChunkedArray) -> Strings:
    return np.array(column.to_pylist(), dtype=object)


def _notes_on_labels(table: Features) -> list[str]:
    """Describe labels that are lists written as one text, as a CSV has them."""
    if table.labels_from is None or table.has_label_lists:
        return []
    labels = table.rows["label"].cast(pa.string())
    written = labels.filter(pc.match_substring_regex(labels, r"^\[.*\]$"))
    if not len(written):
        return []
    note = f"Labels that look like lists are texts, each of them one class: {len(written):,}, such as {written[0]}."
    return [f"{note} For several labels an image write lists, in Parquet or JSON lines."]


def _with_file(table: Features, labels: str, label: str | None, **hint: Any) -> tuple[Features, dict[str, Any]]:
    import frieze.embedder

    file = frieze.embedder.read_labels(labels if is_url(labels) else to_local_path(labels), label=label, **hint)
    rows, n_unmatched, notes = file.find(table.rows["id"], of="table")
    labels_from = {"file": file.uri, "column": file.label}
    label_info = {"labels": labels_from, "unmatched_labels": n_unmatched, "label_notes": list(notes)}
    if file.lists is not None:
        return table.with_label_lists(file.lists.take(rows), labels_from=labels_from), label_info
    joined, notes_on_labels = file.over(table.rows["label"], rows)
    table = table.with_labels(_to_strings(joined), labels_from=labels_from)
    label_info["label_notes"] = [*notes, *notes_on_labels, *_notes_on_labels(table)]
    return table, label_info

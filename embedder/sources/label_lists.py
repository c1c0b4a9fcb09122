"""Several labels an image: a column `labels` of lists, and a label where there is exactly one, for every source."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze.features import are_multilabel, is_list

LABELS = "labels"
"""The stored column, and the common name of such a column in a source."""

_ONLY = "\0label"
_LISTS = "\0labels"
"""Columns of a table that is being read; no file can have such names in a table of ours."""


def to_label_lists(values: Iterable[Any], labels: Iterable[str | None]) -> pa.Array:
    """Return the labels of each image as a list of texts.

    Args:
        values: A list an image, None for none.
        labels: The label of each image, for those without a list.

    >>> to_label_lists([[1, 2], None, []], [None, "a", None]).to_pylist()
    [['1', '2'], ['a'], []]
    """
    rows = [
        _texts(value) if value is not None else [label] if label is not None else None
        for value, label in zip(values, labels, strict=True)
    ]
    return pa.array(rows, pa.list_(pa.string()))


def has_several(lists: pa.Array | pa.ChunkedArray) -> bool:
    """Return whether any list has several items."""
    return bool((pc.max(pc.list_value_length(lists)).as_py() or 0) > 1)


def split_label_lists(table: pa.Table, chosen: Mapping[str, str]) -> tuple[pa.Table, dict[str, str]]:
    """Split a table's column of lists of labels: a column of text, for images of one label, and one of all labels.

    Args:
        table: The table.
        chosen: Role -> column; without a `label` a column `labels` of lists is taken.

    Returns:
        The table and its columns by role; unchanged where labels are no lists. `join_label_lists` names the lists.
    """
    usual = [name for name in table.column_names if name.lower() == LABELS]
    name = chosen.get("label") or next(iter(usual), None)
    if name is None or not is_list(table[name].type):
        return table, dict(chosen)
    lists = to_label_lists(table[name].to_pylist(), [None] * len(table))
    single = pa.array([one[0] if one and len(one) == 1 else None for one in lists.to_pylist()], pa.string())
    table = table.drop_columns([name]).append_column(_ONLY, single).append_column(_LISTS, lists)
    return table, dict(chosen) | {"label": _ONLY}


def find_label_lists(table: pa.Table) -> pa.ChunkedArray | None:
    """Return the lists of `split_label_lists`; None where there are none, or each has exactly one item."""
    if _LISTS not in table.column_names or not are_multilabel(table[_LISTS]):
        return None
    return table[_LISTS]


def join_label_lists(table: pa.Table, names: Iterable[str] = ()) -> pa.Table:
    """Name the lists of `split_label_lists`, once all files of a source are one table; drop them if all have one item.

    Args:
        table: The table.
        names: More columns that have their names.
    """
    if _LISTS not in table.column_names:
        return table
    if not has_several(table[_LISTS]):
        return table.drop_columns([_LISTS])
    taken = {*table.column_names, *names}
    stored_as = LABELS if LABELS not in taken else f"source_{LABELS}"
    return table.rename_columns([stored_as if name == _LISTS else name for name in table.column_names])


def _texts(values: Iterable[Any]) -> list[str]:
    """Return values as text, without missing ones."""
    return [str(value) for value in values if value is not None and value != ""]

"""Groups of rows that are cut from one file or image: they belong on one side of a split, and in one fold."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from frieze.core import Rows
from frieze.features import BOX_PATTERN


class Cut(NamedTuple):
    """Rows that are cut from what one column names.

    Attributes:
        rows: What such rows are called.
        suffix: What follows the column's value in their ids.
    """

    rows: str
    suffix: re.Pattern[str]


CUT_FROM = {
    "file": Cut("frames of one file", re.compile(r"/(\d+|\d+:\d\d\.\d{1,3})(?=#|\Z)")),
    "image": Cut("parts of one image", re.compile(rf"{BOX_PATTERN}\Z")),
}
"""Column -> the rows that are cut from what it names; the larger whole first, since a frame may have boxes."""


def cut_columns(table: pa.Table) -> tuple[str, ...]:
    """Return the columns of `CUT_FROM` by whose values rows of a table are cut from something.

    Args:
        table: `Features.rows`. A column that only has such a name, of a user, is none of them.
    """
    return tuple(name for name in CUT_FROM if any(whole is not None for whole in _wholes(table, name)))


def columns_to_group_by(table: pa.Table, column: str) -> tuple[str, ...]:
    """Return the columns to group by, the first one that has a value deciding.

    Args:
        table: `Features.rows`.
        column: The column that the user named, or the first of `cut_columns`: what is in no file may be in an image.
    """
    cut = cut_columns(table) if column in CUT_FROM else ()
    return (column, *cut[cut.index(column) + 1 :]) if column in cut else (column,)


def number_wholes(table: pa.Table) -> Rows:
    """Number what rows are cut from, int64 [N]; -1 for a row that is not cut from anything."""
    columns = [_wholes(table, name) for name in cut_columns(table)]
    if not columns:
        return np.full(len(table), -1, np.int64)
    keys = [next((whole for whole in row if whole is not None), None) for row in zip(*columns, strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))} | {None: -1}
    return np.array([numbers[key] for key in keys], np.int64)


def join_groups(groups: Rows, others: Rows) -> Rows:
    """Join near-duplicates and rows of one file or image: rows that either keeps together are in one group.

    Where that would join more than half of the files or images, as empty tiles do, duplicates among their rows count
    for nothing.

    Args:
        groups: int64 [N], equal for near-duplicates; -1 for a row that has none.
        others: From `number_wholes`, int64 [N].

    Returns:
        int64 [N]; -1 for a row that neither has in a group.

    >>> join_groups(np.array([0, 0, -1, -1, -1]), np.array([-1, 4, 4, 7, -1])).tolist()
    [0, 0, 0, 1, -1]
    """
    is_part = others >= 0
    if not is_part.any():
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_rows, n_groups = len(groups), groups.max(initial=-1) + 1
    rows = np.concatenate([np.flatnonzero(groups >= 0), np.flatnonzero(others >= 0)])
    nodes = n_rows + np.concatenate([groups[groups >= 0], n_groups + others[others >= 0]])
    n_nodes = n_rows + n_groups + others.max(initial=-1) + 1
    _, joined = connected_components(coo_array((np.ones(len(rows)), (rows, nodes)), (n_nodes, n_nodes)), directed=False)
    is_in = (groups >= 0) | (others >= 0)
    numbers = np.full(n_rows, -1, np.int64)
    numbers[is_in] = np.unique(joined[:n_rows][is_in], return_inverse=True)[1]
    if 2 * len(np.unique(numbers[is_part])) >= len(np.unique(others[is_part])):
        return numbers
    return np.where(is_part, others, np.where(groups >= 0, others.max() + 1 + groups, -1))


def count_divided(table: pa.Table, column: str) -> tuple[int, int]:
    """Return how many files or images have rows with several values of a column, and how many there are."""
    values = dict[int, set[Any]]()
    for number, value in zip(number_wholes(table).tolist(), table[column].to_pylist(), strict=True):
        if number >= 0:
            values.setdefault(number, set()).add(value)
    return sum(len(one) > 1 for one in values.values()), len(values)


def find_relatives(table: pa.Table, ids: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return for each row of a table, bool [N], whether it is of the same file or image as one of some others.

    Args:
        table: `Features.rows`.
        ids: The images, which may be of another table: what these are cut from is known by their ids alone.
    """
    known, wholes = set[str | None](), set[str]()
    for one in ids:
        known.add(one)
        wholes.update(_cut_from(one))
    known |= wholes
    columns = [_wholes(table, name) for name in CUT_FROM]
    rows = zip(table["id"].to_pylist(), *columns, strict=True)
    return np.array([name in wholes or not known.isdisjoint(of_row) for name, *of_row in rows], dtype=bool)


def _wholes(table: pa.Table, column: str) -> list[str | None]:
    """Return what each row is cut from by one column; None for rows that are not."""
    if column not in table.column_names:
        return [None] * len(table)
    suffix, kind = CUT_FROM[column].suffix, table.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        return [None] * len(table)
    pairs = zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True)
    return [
        whole if isinstance(whole, str) and name.startswith(whole) and suffix.match(name, len(whole)) else None
        for name, whole in pairs
    ]


def _cut_from(name: str) -> Iterator[str]:
    """Yield what an image may be cut from, by its id.

    >>> list(_cut_from("clip.mp4/00:12.0#0,0,9,9"))
    ['clip.mp4/00:12.0', 'clip.mp4']
    """
    if not name[-1:].isdigit():
        return
    for cut in reversed(CUT_FROM.values()):
        ends = [match.start() for match in cut.suffix.finditer(name) if match.end() == len(name)]
        if ends:
            name = name[: ends[0]]
            yield name

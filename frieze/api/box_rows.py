"""Tables and indexes whose rows are parts of images, boxes or tiles: what they group by, and what they refuse."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.indexing import Index

_BOX = r"#-?\d+,-?\d+,-?\d+,-?\d+$"


class Whole(NamedTuple):
    """What several rows of a table are parts of, so that a split should not divide it.

    Attributes:
        column: The column with its name.
        parts: The rows in words.
        others: Columns that such a table has, too.
        uri: Pattern of the URI of a part.
    """

    column: str
    parts: str
    others: frozenset[str]
    uri: str


WHOLES = (Whole("image", "parts of one image", frozenset({"box"}), _BOX),)
"""What rows may be parts of; the first one that a table has counts."""


def find_whole(table: Features) -> Whole | None:
    """Return what the rows of a table are parts of; None where they are whole images."""
    rows = table.rows
    names = set(rows.column_names)
    return next(
        (one for one in WHOLES if {one.column, *one.others} <= names and _any_match(rows["uri"], one.uri)), None
    )


def number_wholes(table: Features) -> Rows | None:
    """Number what the rows of a table are parts of, int64 [N]; None where they are whole images."""
    whole = find_whole(table)
    return None if whole is None else _codes(table, whole.column)


def note_divided(table: Features, column: str) -> str | None:
    """Return the note on parts of one image with several values of a column; None where there are none.

    Args:
        table: The table.
        column: A column by which rows are split or grouped.
    """
    whole = find_whole(table)
    if whole is None or column not in table.rows.column_names:
        return None
    pairs = np.unique(np.column_stack([_codes(table, whole.column), _codes(table, column)]), axis=0)
    n_divided = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
    if not n_divided:
        return None
    n = f"{n_divided:,} of {len(np.unique(pairs[:, 0])):,}"
    return f"{whole.parts} have several values of `{column}` ({n}), so that they may be on both sides of the split."


def note_other_parts(table: Features, head: Path) -> str | None:
    """Return the note on held-out rows that are parts of images of which the head was fitted on other parts.

    Args:
        table: The rows to score, or to audit.
        head: The head's folder.

    Raises:
        FeatureFileError: The head's split is missing or broken.
    """
    from frieze.classifiers import read_split

    whole = find_whole(table)
    parts = {str(row["id"]): row["part"] for row in read_split(head)}
    fitted = {_name_whole(name) for name, part in parts.items() if part != "test"}
    if whole is None and fitted <= parts.keys():  # no part of an image anywhere
        return None
    names = table.rows["id" if whole is None else whole.column].to_pylist()
    pairs = zip(table.ids, names, strict=True)
    n_rows = sum(parts.get(row, "test") == "test" and name in fitted for row, name in pairs)
    if not n_rows:
        return None
    are = "row shows an image" if n_rows == 1 else "rows show images"
    return f"{n_rows:,} held-out {are} of which the head was fitted on another part."


def _name_whole(name: str) -> str:
    """Return the id of what a row is a part of, by its own id.

    >>> _name_whole("a.jpg#1,2,3,4"), _name_whole("a.jpg")
    ('a.jpg', 'a.jpg')
    """
    return functools.reduce(lambda rest, whole: re.sub(whole.uri, "", rest), WHOLES, name)


def _codes(table: Features, column: str) -> Rows:
    """Number the values of a column, int64 [N]; an unknown one is -1."""
    texts = np.array([None if value is None else str(value) for value in table.rows[column].to_pylist()], object)
    numbers: Rows = np.full(len(texts), -1)
    known = texts != None  # noqa: E711  of each element
    numbers[known] = np.unique(texts[known].astype(str), return_inverse=True)[1]
    return numbers


def check_no_boxes(index: "Index", **options: Path | None) -> None:
    """Refuse options that move or delete files where rows are boxes: the file holds all of its image.

    Raises:
        InputError: One of them is given, and a row is a box.
    """
    given = [name for name, value in options.items() if value is not None]
    if given and _any_match(index.metadata(list(index.ids))["uri"], _BOX):
        raise InputError(
            f"Rows of this index are boxes of images, so `{given[0]}` would take whole images for a part of them.",
            hint=f"Leave `{given[0]}` out: the groups are listed without it.",
        )


def _any_match(uris: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(uris, pattern)).as_py())

"""Common names of columns for images, paths, labels and ids, the most likely first."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from frieze.embedder.sources.label_lists import LABELS

IMAGE = ("image/encoded", "image", "image_raw", "image_bytes", "encoded", "bytes", "jpg", "jpeg", "png")
"""Columns of images or their paths."""

PATH = ("image", "path", "file_name", "filename", "file", "filepath", "file_path", "image_path", "uri", "url")
"""Columns of paths or bytes in a table."""

LABEL = ("cls", "image/class/text", "image/class/label", "label", "class")
"""Columns of labels."""

ID = ("id",)
"""Columns of ids."""


def choose_column(names: Iterable[str], common: Iterable[str]) -> str | None:
    """Return the first common name among the names, ignoring case; None for none.

    >>> choose_column(["Path", "Label"], LABEL), choose_column(["year"], LABEL)
    ('Label', None)
    """
    lower = {name.strip().lower(): name for name in reversed(list(names))}
    return next((lower[name] for name in common if name in lower), None)


def find_text(columns: dict[str, Any], names: Iterable[str]) -> tuple[str, str] | None:
    """Find the first usable value in an image's columns: a text or number, also as the only item of a list.

    Returns:
        The name of the column and the value as text; None for none.
    """
    for name in names:
        value = columns.get(name)
        if isinstance(value, list | np.ndarray) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | int | float | np.number) and value != "":
            return name, str(value)
    return None


def pop_text(columns: dict[str, Any], names: Iterable[str]) -> str | None:
    """Remove the value that `find_text` finds from an image's columns, and return it.

    >>> columns = {"image/class/text": "", "label": [3], "year": 1999}
    >>> pop_text(columns, LABEL), columns
    ('3', {'image/class/text': '', 'year': 1999})
    """
    match = find_text(columns, names)
    if match is None:
        return None
    del columns[match[0]]
    return match[1]


def pop_label(columns: dict[str, Any], option: str | None, common: Iterable[str]) -> tuple[str | None, str | None]:
    """Remove the label from an image's columns, and return it; a list stays, because other images may have several.

    Args:
        columns: The columns of an image.
        option: The column that the user named; no other counts then.
        common: Common names; the first with a value counts. Then comes `labels`, if it is a list.

    Returns:
        The label, None for none or several, and the name of the column that still holds it or them.

    >>> columns = {"label": [3]}
    >>> pop_label(columns, None, LABEL), columns
    (('3', 'label'), {'label': [3]})
    >>> given = (([3, 4], None), ([3], "sex"), ("a", "labels"))
    >>> [pop_label({"labels": labels}, option, LABEL) for labels, option in given]
    [(None, 'labels'), (None, None), ('a', None)]
    """
    for name in (*common, LABELS) if option is None else (option,):
        value = columns.get(name)
        if value is None:  # most names, of millions of images
            continue
        if isinstance(value, list | np.ndarray) and len(value) > 1:
            return None, name
        match = find_text(columns, [name])
        if match is not None and isinstance(value, list | np.ndarray):
            return match[1], name
        if match is not None and (name != LABELS or option is not None):
            del columns[name]
            return match[1], None
    return None, None

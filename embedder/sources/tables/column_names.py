"""The user's own columns: the usual names of those that mean something to us, the likeliest first."""

from collections.abc import Iterable
from typing import Any

import numpy as np

IMAGE = ("image/encoded", "image", "image_raw", "image_bytes", "encoded", "bytes", "jpg", "jpeg", "png")
"""An image, or its path."""

PATH = ("image", "path", "file_name", "filename", "file", "filepath", "file_path", "image_path", "uri", "url")
"""The path of an image, or its bytes, in a table."""

LABEL = ("cls", "image/class/text", "image/class/label", "label", "class")
"""What an image shows."""

ID = ("id",)
"""An image's own name."""


def choose(names: Iterable[str], usual: Iterable[str]) -> str | None:
    """Choose the first of the usual names that is there, in whatever letters; None where there is none.

    >>> choose(["Path", "Label"], LABEL), choose(["year"], LABEL)
    ('Label', None)
    """
    small = {name.strip().lower(): name for name in reversed(list(names))}
    return next((small[one] for one in usual if one in small), None)


def find_text(columns: dict[str, Any], names: Iterable[str]) -> tuple[str, str] | None:
    """Find the first value that can be a name among an image's columns: a text or number, also one alone in a list.

    Returns:
        The column's name and the value as text; None where there is none.
    """
    for name in names:
        value = columns.get(name)
        if isinstance(value, list | np.ndarray) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | int | float | np.number) and value != "":
            return name, str(value)
    return None


def take_text(columns: dict[str, Any], names: Iterable[str]) -> str | None:
    """Take what `find_text` finds out of an image's columns.

    >>> columns = {"image/class/text": "", "label": [3], "year": 1999}
    >>> take_text(columns, LABEL), columns
    ('3', {'image/class/text': '', 'year': 1999})
    """
    found = find_text(columns, names)
    if found is None:
        return None
    del columns[found[0]]
    return found[1]


def take_label(columns: dict[str, Any], names: Iterable[str]) -> tuple[str | None, str | None]:
    """Take an image's label out of its columns; a list stays there, for other images may have several.

    Returns:
        The label, None where there is none or are several, and the name of the column that still has it.

    >>> columns = {"label": [3]}
    >>> take_label(columns, LABEL), columns, take_label({"label": 3}, LABEL), take_label({"label": [3, 4]}, LABEL)
    (('3', 'label'), {'label': [3]}, ('3', None), (None, None))
    """
    found = find_text(columns, names)
    if found is None:
        return None, None
    name, text = found
    if isinstance(columns[name], list | np.ndarray):
        return text, name
    del columns[name]
    return text, None

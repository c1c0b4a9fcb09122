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


def take_text(columns: dict[str, Any], names: Iterable[str]) -> str | None:
    """Take the first value that can be a name out of an image's columns: a text or number, also one alone in a list.

    Returns:
        None where there is none.

    >>> columns = {"image/class/text": "", "label": [3], "year": 1999}
    >>> take_text(columns, LABEL), columns
    ('3', {'image/class/text': '', 'year': 1999})
    """
    for name in names:
        value = columns.get(name)
        if isinstance(value, list | np.ndarray) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | int | float | np.number) and value != "":
            del columns[name]
            return str(value)
    return None

"""Indexes whose rows are boxes of images: what they refuse."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from frieze.core import InputError

if TYPE_CHECKING:
    from frieze.indexing import Index

_BOX = r"#-?\d+,-?\d+,-?\d+,-?\d+$"


def check_no_boxes(index: "Index", **options: Path | None) -> None:
    """Refuse options that move or delete files where rows are boxes: the file holds all of its image.

    Raises:
        InputError: One of them is given, and a row is a box.
    """
    given = [name for name, value in options.items() if value is not None]
    if given and _any_box(index.metadata(list(index.ids))["uri"]):
        raise InputError(
            f"Rows of this index are boxes of images, so `{given[0]}` would take whole images for a part of them.",
            hint=f"Leave `{given[0]}` out: the groups are listed without it.",
        )


def _any_box(uris: Any) -> bool:
    return bool(pc.any(pc.match_substring_regex(uris, _BOX)).as_py())

"""Rows that are boxes of images: how they are told, and what they are refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from frieze.core import InputError
from frieze.features import BOX_PATTERN

if TYPE_CHECKING:
    from frieze.indexing import Index


def check_no_boxes(index: "Index", **options: Path | None) -> None:
    """Refuse options that move or delete files where rows are boxes: the file holds all of its image.

    Raises:
        InputError: One of them is given, and a row is a box.
    """
    given = [name for name, value in options.items() if value is not None]
    if given and count_boxes(index.metadata(list(index.ids))["uri"]):
        raise InputError(
            f"Rows of this index are boxes of images, so `{given[0]}` would take whole images for a part of them.",
            hint=f"Leave `{given[0]}` out: the groups are listed without it.",
        )


def count_boxes(names: Any) -> int:
    """Return how many ids or URIs of an Arrow column are those of boxes."""
    return pc.sum(pc.match_substring_regex(names, f"{BOX_PATTERN}$")).as_py() or 0

"""Paths as users give them."""

import re
from pathlib import Path

from features import Features, InputError, is_remote, open_features, to_table_path
from frieze.information import check_kind


def open_table(path: str | Path) -> Features:
    """Open the table of features at a path.

    Raises:
        InputError: There is none.
    """
    place = to_table_place(path)
    check_kind(place, "features")
    return open_features(place)


def to_table_place(path: str | Path) -> Path:
    """Do as `to_place`, and take a place in a bucket for a table.

    Raises:
        InputError: It is another URL, no UTF-8 text, or too long.
    """
    return to_table_path(path) if is_remote(str(path)) else to_place(path)


def to_place(path: str | Path) -> Path:
    """Make a path absolute, and refuse one that Parquet and JSON can't name.

    Raises:
        InputError: It is a URL, no UTF-8 text, or too long.
    """
    if is_url(path):
        raise InputError(
            f"{path} is not on disk: of what is made, only tables are read and written in buckets.",
            mend="Give a path on disk; what is written there can be copied to a bucket afterwards.",
        )
    place = Path(path).absolute()
    try:
        str(place).encode()
        place.exists()
    except (UnicodeEncodeError, OSError) as error:
        raise InputError(
            f"{path} can't be used as a path: {error}.", mend="Give a shorter one in plain text."
        ) from error
    return place


def is_url(path: str | Path) -> bool:
    """Tell a URL from a path; a `Path` has made one slash of its two."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None

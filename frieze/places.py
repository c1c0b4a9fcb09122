"""Paths as users give them."""

import re
from pathlib import Path

from features import Features, InputError, open_features
from frieze.information import check_kind


def open_table(path: str | Path) -> Features:
    """Open the table of features at a path.

    Raises:
        InputError: There is none.
    """
    check_kind(to_place(path), "features")
    return open_features(to_place(path))


def to_place(path: str | Path) -> Path:
    """Make a path absolute, and refuse one that Parquet and JSON can't name.

    Raises:
        InputError: It is a URL, no UTF-8 text, or too long.
    """
    if is_url(path):
        raise InputError(
            f"{path} is not on disk: tables, indexes, heads and pages are read and written on disk only.",
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

"""Paths as users give them."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from frieze.api.folder_kinds import check_kind
from frieze.core import InputError, TablePath, is_remote, temporary_folder, to_table_path, translate_io_errors
from frieze.features import Features, open_features


def open_table(path: str | Path) -> Features:
    """Open the table of features at a path.

    Raises:
        InputError: There is none.
    """
    place = to_table_place(path)
    check_kind(place, "features")
    return open_features(place)


def to_table_place(path: str | Path) -> TablePath:
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
            hint="Give a path on disk; what is written there can be copied to a bucket afterwards.",
        )
    place = Path(path).absolute()
    try:
        str(place).encode()
        place.exists()
    except (UnicodeEncodeError, OSError) as error:
        raise InputError(
            f"{path} can't be used as a path: {error}.", hint="Give a shorter one in plain text."
        ) from error
    return place


def is_url(path: str | Path) -> bool:
    """Tell a URL from a path; a `Path` has made one slash of its two."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


@contextlib.contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out`, gone afterwards: vectors on their way may be too many for the temporary folder."""
    with contextlib.ExitStack() as stack:
        with translate_io_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(temporary_folder(out)) / "files"  # the folder itself is locked: a table is not
            folder.mkdir()
        yield folder

"""Paths as users type them."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from frieze.api.folder_kinds import check_kind
from frieze.core import (
    InputError,
    TablePath,
    is_remote,
    locked_temporary_folder,
    temporary_folder,
    to_table_path,
    translate_io_errors,
)
from frieze.features import Features, open_features


def open_table(path: str | Path) -> Features:
    """Open the table of features at a path.

    Raises:
        InputError: There is none.
    """
    table_path = to_local_or_bucket_path(path)
    check_kind(table_path, "features")
    return open_features(table_path)


def to_local_or_bucket_path(path: str | Path) -> TablePath:
    """Return a path as `to_local_path` does, or the path of a table in a bucket.

    Raises:
        InputError: It is another URL, not UTF-8, or too long.
    """
    return to_table_path(path) if is_remote(str(path)) else to_local_path(path)


def to_local_path(path: str | Path) -> Path:
    """Make a path absolute, and refuse one that Parquet and JSON can't store.

    Raises:
        InputError: It is a URL, not UTF-8, or too long.
    """
    if is_url(path):
        raise InputError(
            f"{path} is not on disk: only tables are read from and written to buckets.",
            hint="Give a path on disk; what is written there can be copied to a bucket afterwards.",
        )
    absolute = Path(path).absolute()
    try:
        str(absolute).encode()
        absolute.exists()
    except (UnicodeEncodeError, OSError) as error:
        raise InputError(
            f"{path} can't be used as a path: {error}.", hint="Give a shorter one in plain text."
        ) from error
    return absolute


def is_url(path: str | Path) -> bool:
    """Return whether it is a URL; `Path` turns its two slashes into one."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


@contextlib.contextmanager
def scratch_folder(out: Path | None) -> Iterator[Path]:
    """Yield a temporary folder beside `out`: vectors may be too many for the system's, which is for None."""
    with contextlib.ExitStack() as stack:
        with translate_io_errors(out or Path(tempfile.gettempdir())):
            if out is not None:
                out.parent.mkdir(parents=True, exist_ok=True)
            locked = locked_temporary_folder() if out is None else temporary_folder(out)
            folder = stack.enter_context(locked) / "files"  # the folder itself is locked: a table is not
            folder.mkdir()
        yield folder

"""Folders that are there for as long as a process needs them, also where it is killed: the next one sweeps."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "frieze-held-"
"""No name that people give: what bears it and is held by nobody is deleted."""
_FRESH_S = 60.0
"""A folder younger than this may be one that its process has made and does not hold yet."""


@contextlib.contextmanager
def temporary_folder(near: Path | None = None) -> Iterator[Path]:
    """Make a folder that is gone when the block ends; those that killed processes have left beside it go, too.

    Args:
        near: The folder in which it is made, hidden; the system's temporary one when None.

    Yields:
        The folder, empty.

    Raises:
        OSError: It can't be made.
    """
    parent, prefix = (Path(tempfile.gettempdir()), _PREFIX) if near is None else (near, f".{_PREFIX}")
    _sweep(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # the system lets go of it when the process ends, however it ends
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path, prefix: str) -> None:
    """Delete the folders of that name which are this user's and which nobody holds."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another one sweeps too, or holds it
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                facts = os.fstat(held)
                if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > _FRESH_S:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)

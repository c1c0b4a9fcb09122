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
def held_folder() -> Iterator[Path]:
    """Make a temporary folder, gone when the block ends; those that killed processes have left go, too.

    Yields:
        The folder, empty.

    Raises:
        OSError: It can't be made.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # the system lets go of it when the process ends, however it ends
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path) -> None:
    """Delete the folders of that name which are this user's and which nobody holds."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another one sweeps too, or holds it
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                facts = os.fstat(held)
                if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > _FRESH_S:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)

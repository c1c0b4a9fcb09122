"""One writer a folder at a time."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from features.bucket_lock import is_bucket_locked, lock_bucket
from features.buckets import as_bucket
from features.errors import FeatureFileError
from features.files import clear_errors
from features.leftovers import lock_within

_TRIES = 3  # `is_being_written` may have it for a moment


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder for writing; the operating system lets go when the process ends, however it ends.

    Raises:
        FeatureFileError: Another process holds it (the message names it), or it can't be written.
    """
    if as_bucket(folder) is not None:
        with lock_bucket(folder):
            yield
        return
    with clear_errors(folder):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW  # the file behind a link would be emptied
        file = os.open(folder / ".lock", flags, 0o666)
    try:
        try:
            lock_within(file, fcntl.LOCK_EX, tries=_TRIES)
        except BlockingIOError as error:
            raise FeatureFileError(
                f"{folder} is being written by {_holder(folder)}.",
                mend="Wait until it is done, or give another --out.",
            ) from error
        with clear_errors(folder):  # the first byte that a full disk refuses may be one of these
            os.ftruncate(file, 0)
            os.write(file, json.dumps({"pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}).encode())
        yield
    finally:
        os.close(file)


def is_being_written(folder: Path) -> bool:
    """Tell whether a process holds a folder for writing."""
    if as_bucket(folder) is not None:
        return is_bucket_locked(folder)
    try:
        with (folder / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody has ever written here, or the file system has no locks
        return False
    return False


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / ".lock").read_text(encoding="utf-8"))
    except ValueError:
        return "another process"
    return f"process {holder['pid']}, started {holder['started']}"

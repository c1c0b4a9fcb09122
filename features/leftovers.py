"""Temporary files and folders beside a result: held while they are written, swept once nobody holds them.

What is being written stands beside its place as `.NAME.xxxxxxxx.tmp`, under a lock that ends with its process, however
that ends. The next run for the same place takes away what it can lock.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` that goes at the end; where the process is killed, with the next run for `out`.

    Args:
        out: The result that it is for, whose folder is there.

    Yields:
        The empty folder.

    Raises:
        OSError: The disk refuses.
    """
    folder, lock = _made(lambda: Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[None]:
    """Make an empty file and hold it for as long as it is written; what is left of it at the end goes.

    Raises:
        OSError: The disk refuses.
    """

    def make() -> Path:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        return path

    _, lock = _made(make)
    try:
        yield
    finally:
        os.close(lock)
        with contextlib.suppress(OSError):  # what stays behind harms nobody
            path.unlink(missing_ok=True)


def sweep_leftovers(out: Path) -> None:
    """Delete what killed runs left beside a result; nothing of a process that lives, and nothing of another result."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.(\d+|[a-z0-9_]{{8}})\.(tmp|old)", re.ASCII)
    with contextlib.suppress(OSError):
        found = [out.parent / name for name in os.listdir(out.parent) if ours.fullmatch(name)]  # noqa: PTH208  a million names
        for path in found:
            if path.suffix == ".tmp" or out.exists():  # else it holds what stood at `out`
                _sweep(path)


def _sweep(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is held, gone, or not ours to delete
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(lock)


def delete_unless_held(folder: Path) -> None:
    """Delete a folder, unless a process holds it: then `sweep_leftovers` does, once none does any more."""
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if try_lock(lock) is not False:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder for this process alone.

    Returns:
        Whether it is locked now; None on a file system without locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _made(make: Callable[[], Path]) -> tuple[Path, int]:
    """Make a file or folder and lock it, again where a sweep came between the two."""
    while True:
        path = make()
        lock = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks: then nothing can be swept there, either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)

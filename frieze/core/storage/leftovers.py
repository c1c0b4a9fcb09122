"""Temporary files and folders: held while they are used, swept once nobody holds them.

What is being written stands beside its place as `.NAME.xxxxxxxx.tmp`, what only a process needs in the system's
temporary folder, both under a lock that ends with the process, however that ends. The next one takes away what it can
lock.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PREFIX = "frieze-held-"
"""No name that people give: such a folder among the system's temporary ones is ours."""
_BETWEEN_TRIES_S = 0.02
_FRESH_S = 60.0
"""One younger than this may be of an earlier version, which has made it and does not hold it yet."""


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
    with _locked_folder(lambda: tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)) as folder:
        yield folder


@contextlib.contextmanager
def locked_temporary_folder() -> Iterator[Path]:
    """Give a folder in the system's temporary one that goes at the end; those that killed processes have left go, too.

    Yields:
        The empty folder.

    Raises:
        OSError: It can't be made.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another one sweeps too
            status = left.lstat()
            is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if is_ours and time.time() - status.st_mtime > _FRESH_S:
                _sweep(left)
    with _locked_folder(lambda: tempfile.mkdtemp(prefix=_PREFIX)) as folder:
        yield folder


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
    with contextlib.suppress(OSError):  # gone, or not ours to delete
        delete_unless_held(path, without_locks=False)


def delete_unless_held(path: Path, *, without_locks: bool = True) -> None:
    """Delete a file or folder, unless a process holds it: then `sweep_leftovers` does, once none does any more.

    Args:
        path: The file or folder; a link is refused.
        without_locks: Whether to delete it, too, on a file system where nobody can hold it.

    Raises:
        OSError: It is a link, or the disk refuses.
    """
    lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        is_free = try_lock(lock)
        if is_free or (is_free is None and without_locks):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
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


def lock_with_retries(descriptor: int, operation: int, *, tries: int) -> None:
    """Lock an open file or folder, with 20 ms before each further try.

    Args:
        descriptor: Of the file or folder.
        operation: `fcntl.LOCK_SH` or `fcntl.LOCK_EX`.
        tries: How often at least, >= 1.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The file system has no locks.
    """
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        time.sleep(_BETWEEN_TRIES_S)
    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)


@contextlib.contextmanager
def _locked_folder(make: Callable[[], str]) -> Iterator[Path]:
    folder, lock = _made(lambda: Path(make()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


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

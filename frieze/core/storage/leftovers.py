"""Temporary files and folders, locked while in use; the leftovers of crashed processes are deleted by the next one.

Output is written beside its place as `.NAME.xxxxxxxx.tmp`, scratch files in the system's temporary folder. Both are
under a lock that ends with the process, also in a crash, so whatever can be locked is a leftover.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PREFIX = "frieze-held-"
"""A temporary folder of the system with this prefix is ours: nobody else uses the name."""
_BETWEEN_TRIES_S = 0.02
_FRESH_S = 60.0
"""A younger folder may be of an earlier version, which locks a folder some time after making it."""


@contextlib.contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, deleted at the end; after a crash, by the next run for `out`.

    Args:
        out: The result; its parent folder exists.

    Yields:
        The empty folder.

    Raises:
        OSError: The disk refuses.
    """
    with _locked_folder(lambda: tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)) as folder:
        yield folder


@contextlib.contextmanager
def locked_temporary_folder() -> Iterator[Path]:
    """Yield a folder in the system's temporary folder, deleted at the end; leftovers of crashes are deleted too.

    Yields:
        The empty folder.

    Raises:
        OSError: It can't be created.
    """
    for leftover in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another process may delete it too
            status = leftover.lstat()
            is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if is_ours and time.time() - status.st_mtime > _FRESH_S:
                _sweep(leftover)
    with _locked_folder(lambda: tempfile.mkdtemp(prefix=_PREFIX)) as folder:
        yield folder


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[None]:
    """Create an empty file and lock it while the block writes it; delete it at the end if it is still there.

    Raises:
        OSError: The disk refuses.
    """

    def make() -> Path:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        return path

    _, lock = _create_locked(make)
    try:
        yield
    finally:
        os.close(lock)
        with contextlib.suppress(OSError):  # a leftover does no harm
            path.unlink(missing_ok=True)


def sweep_leftovers(out: Path) -> None:
    """Delete what crashed runs left beside a result; nothing of a live process, and nothing of another result."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.(\d+|[a-z0-9_]{{8}})\.(tmp|old)", re.ASCII)
    with contextlib.suppress(OSError):
        leftovers = [out.parent / name for name in os.listdir(out.parent) if ours.fullmatch(name)]  # noqa: PTH208  a million names
        for path in leftovers:
            if path.suffix == ".tmp" or out.exists():  # else it is the only copy of `out`
                _sweep(path)


def _sweep(path: Path) -> None:
    with contextlib.suppress(OSError):  # already deleted, or not ours to delete
        delete_unless_held(path, without_locks=False)


def delete_unless_held(path: Path, *, without_locks: bool = True) -> None:
    """Delete a file or folder unless a process holds its lock; then a later `sweep_leftovers` deletes it.

    Args:
        path: The file or folder; a link is refused.
        without_locks: Whether to delete it on a file system without locks.

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
    """Try to lock an open file or folder exclusively.

    Returns:
        Whether it is locked now; None on a file system without locks.
    """
    try:
        lock_with_retries(descriptor, tries=0)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def lock_with_retries(descriptor: int, *, tries: int, is_shared: bool = False) -> None:
    """Lock an open file or folder, retrying every 20 ms.

    Args:
        descriptor: The open file or folder.
        tries: The number of retries, >= 0.
        is_shared: Whether others may hold a shared lock, too.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The file system has no locks.
    """
    import fcntl  # here: Windows has none, where whatever needs no lock can still be imported

    operation = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        time.sleep(_BETWEEN_TRIES_S)
    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)


@contextlib.contextmanager
def _locked_folder(make: Callable[[], str]) -> Iterator[Path]:
    folder, lock = _create_locked(lambda: Path(make()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _create_locked(make: Callable[[], Path]) -> tuple[Path, int]:
    """Create a file or folder and lock it; retry if a sweep deleted it in between."""
    while True:
        path = make()
        lock = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is swept either
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)

"""Move a file to a name that is free: nothing is overwritten, and a kill loses nothing."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from frieze.core.storage.atomic_files import hash_file, sync
from frieze.core.storage.leftovers import temporary_file


def move_to_free_name(source: Path, target: Path) -> None:
    """Move a file, on one file system by renaming it; onto another it is copied, and removed once the copy is verified.

    An empty file holds the new name until the file is there: `drop_empty` removes what a kill leaves of that.

    Args:
        source: The file.
        target: Its new path, in a folder that exists.

    Raises:
        FileExistsError: Something has that name.
        OSError: The disk refuses; the file is where it was.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _move_over(source, target)
    except BaseException:
        if os.path.lexists(source):
            drop_empty(target)
        raise


def drop_empty(path: Path) -> None:
    """Remove a file without content; anything else stays."""
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink() and not path.stat().st_size:
            path.unlink()


def _move_over(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104  tests replace it
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, target)
        _remove_copied(source, target)
    sync(target.parent)
    with contextlib.suppress(PermissionError):  # a folder may be writable and not readable
        sync(source.parent)


def _copy_over(source: Path, target: Path) -> None:
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with temporary_file(staging):
        shutil.copy2(source, staging)
        sync(staging)
        if staging.stat().st_size != source.stat().st_size or hash_file(staging) != hash_file(source):
            raise OSError(errno.EIO, f"the copy of {source} has other bytes")
        staging.replace(target)
    sync(target.parent)


def _remove_copied(source: Path, target: Path) -> None:
    """Remove a file that was copied; where that is not allowed, remove the copy."""
    try:
        source.unlink()
    except OSError:
        if source.is_file():
            target.unlink()
        raise

"""Replaced parts stay readable for those who opened the table before (snapshot isolation).

A reader holds the table's folder under a shared lock for as long as it reads. Before a writer replaces or deletes a
part, it links the part into `staging/` under a name that has the part's hash; once features.json is written and nobody
holds the folder, it deletes the link, at the latest after a day. Where there are no such locks, as in a bucket, the old
part stays for an hour.
"""

import contextlib
import errno
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from frieze.core import (
    BucketPath,
    FeatureFileError,
    TablePath,
    lock_with_retries,
    translate_io_errors,
    try_lock,
    write_file,
)
from frieze.features.manifest import PARTS, Part
from frieze.features.paths import STAGING, replaced_parts

KEPT_S = 3600.0
"""How long a replaced part is kept where there are no locks to show whether it is being read."""
_READ_S = 24 * 3600.0
"""How long a replaced part is kept for readers; a limit, so that readers without a gap do not fill the disk."""
_TRIES = 100
"""How often a reader tries to lock the folder while a writer deletes replaced parts, before it reads without."""
_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def replaced_name(part: Part) -> str:
    """Return the name of the file that keeps a part once it is replaced.

    >>> replaced_name(Part("part-000007.parquet", 1, 1, 1, sha256="0123456789abcdef" * 4))
    'part-000007.0123456789abcdef.parquet'
    """
    return f"{part.name.removesuffix('.parquet')}.{part.sha256[:16]}.parquet"


def hold_for_reading(folder: TablePath) -> int | None:
    """Take a shared lock on a table's folder, so that no part is deleted that its features.json names from now on.

    Returns:
        The descriptor of the folder, to be closed; None where it can't be opened, as in a bucket.
    """
    if isinstance(folder, BucketPath):
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # reading by path reports the error
        return None
    with contextlib.suppress(OSError):  # a slow writer, or a file system without locks
        lock_with_retries(descriptor, is_shared=True, tries=_TRIES)
    return descriptor


def keep_replaced(folder: TablePath, part: Part) -> None:
    """Keep a live part that is about to be replaced or deleted.

    Raises:
        FeatureFileError: The disk or the bucket refuses.
    """
    path, kept = folder / PARTS / part.name, folder / STAGING / replaced_name(part)
    with translate_io_errors(path), contextlib.suppress(FileExistsError, FileNotFoundError):
        if isinstance(path, BucketPath) and isinstance(kept, BucketPath):
            path.copy(kept)
        elif isinstance(path, Path) and isinstance(kept, Path):
            _link_or_copy(path, kept)


def _link_or_copy(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        write_file(kept, lambda staging: _copy(path, staging))


def _copy(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)


def sweep_replaced(folder: TablePath, *, named: Sequence[Part] = ()) -> bool:
    """Delete the replaced parts that nobody reads.

    Args:
        folder: The table.
        named: Parts that features.json still names although a writer has replaced them; they stay.

    Returns:
        Whether any replaced part is left.
    """
    needed = {replaced_name(part) for part in named}
    kept = replaced_parts(folder)
    if all(path.name in needed for path in kept):
        return bool(kept)
    with _without_readers(folder) as is_unread:
        kept_s = {True: -math.inf, False: _READ_S, None: KEPT_S}[is_unread]
        for path in kept:
            if path.name not in needed and _age_s(path) > kept_s:
                with contextlib.suppress(OSError, FeatureFileError):  # a leftover does no harm
                    path.unlink(missing_ok=True)
    return bool(replaced_parts(folder))


@contextlib.contextmanager
def _without_readers(folder: TablePath) -> Iterator[bool | None]:
    """Lock readers out for a moment; yields True where there is none, False where there is one, None without locks."""
    if isinstance(folder, BucketPath):
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _age_s(path: TablePath) -> float:
    if isinstance(path, BucketPath):
        return time.time() - path.stat().st_mtime_ns / 1e9
    return time.time() - path.stat().st_ctime  # of the link

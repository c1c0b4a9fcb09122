"""Replace a whole table (`--force`), or remove one that was refused before it had a row.

The old table stays until the new one is complete; an interrupted run can resume.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from frieze.core import BucketPath, FeatureFileError, InputError, TablePath, lock, replace_folder, sweep_leftovers
from frieze.features.manifest import is_features, read_manifest
from frieze.features.paths import check_only_table_files, part_files

_PathT = TypeVar("_PathT", Path, BucketPath, TablePath)


def successor_of(out: _PathT) -> _PathT:
    """Return the folder in which the replacement of a table is written; its name is fixed, so that a run can resume."""
    return out.with_name(f".{out.name}.new")


@contextlib.contextmanager
def replace_table(out: TablePath, *, can_resume: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a folder for the new table, which replaces the old one when the block ends without an error.

    Args:
        out: The old table.
        can_resume: Whether the unfinished table that an interrupted run left is one that this run can complete.

    Yields:
        The folder to fill.

    Raises:
        FeatureFileError: The old table's folder holds more than a table, or another process writes to it.
    """
    if isinstance(out, BucketPath):
        hint = "Use another `out`, or delete it first."
        raise FeatureFileError(f"{out} is in a bucket, where no folder is replaced in one step.", hint=hint)
    sweep_leftovers(out)  # an older table that readers still held when it was replaced
    new_dir = successor_of(out)
    check_only_table_files(out)
    with lock(out):  # no writer may add to a table that is about to be deleted
        if new_dir.exists() and not can_resume(new_dir):
            check_only_table_files(new_dir)
            shutil.rmtree(new_dir)
        yield new_dir
        replace_folder(new_dir, out)


@contextlib.contextmanager
def remove_if_refused(out: TablePath) -> Iterator[None]:
    """Remove a new table where the block ends in an InputError before a row is stored.

    The next run would take its options for asked ones.

    Args:
        out: The table, which does not exist yet.
    """
    try:
        yield
    except InputError:
        if isinstance(out, Path) and is_features(out) and not (read_manifest(out).n_rows or part_files(out)):
            with contextlib.suppress(FeatureFileError):  # another process writes to it, or there are other files
                check_only_table_files(out)
                with lock(out):
                    shutil.rmtree(out, ignore_errors=True)
        raise

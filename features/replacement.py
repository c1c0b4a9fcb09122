"""A table made anew: the old one stays until the new one is whole."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from frieze.core import FeatureFileError, as_bucket, lock, replace_folder, sweep_leftovers
from frieze.features.paths import check_only_table_files


def successor_of(out: Path) -> Path:
    """Name the folder where the table that will take another's place is made.

    The name is fixed, so that what a run that was cut short left there is gone on with.
    """
    return out.with_name(f".{out.name}.new")


@contextlib.contextmanager
def replace_table(out: Path, *, goes_on: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a folder for the table that takes another's place when the block ends without an error.

    Args:
        out: The old table.
        goes_on: Tells whether what a run that was cut short left is what this run would make.

    Yields:
        The folder to fill.

    Raises:
        FeatureFileError: The old table's folder holds more than a table, or another process writes to it.
    """
    if as_bucket(out) is not None:
        hint = "Give another --out, or delete it first."
        raise FeatureFileError(f"{out} is in a bucket, where no folder is replaced in one step.", hint=hint)
    sweep_leftovers(out)  # an older table that was still being read when it was replaced
    fresh = successor_of(out)
    check_only_table_files(out)
    with lock(out):  # nobody adds to a table that is about to go
        if fresh.exists() and not goes_on(fresh):
            check_only_table_files(fresh)
            shutil.rmtree(fresh)
        yield fresh
        replace_folder(fresh, out)

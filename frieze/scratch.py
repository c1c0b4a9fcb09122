"""A place for what is made on the way to a result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from features import clear_errors, temporary_folder


@contextlib.contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out`, gone afterwards: vectors on their way may be too many for the temporary folder."""
    with contextlib.ExitStack() as stack:
        with clear_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(temporary_folder(out)) / "files"  # the folder itself is locked: a table is not
            folder.mkdir()
        yield folder

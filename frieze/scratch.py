"""A place for what is made on the way to a result."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from features import clear_errors


@contextlib.contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out`, gone afterwards: vectors on their way may be too many for the temporary folder."""
    with clear_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".frieze-", dir=out.parent)
    with folder as name:
        yield Path(name)

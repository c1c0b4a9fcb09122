"""Atomic folders: filled beside their place, then renamed or exchanged in one step."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from frieze.core.errors import FeatureFileError
from frieze.core.storage.atomic_files import read_json, sync, translate_io_errors
from frieze.core.storage.leftovers import (
    delete_unless_held,
    sweep_leftovers,
    temporary_folder,
)

_HERE, _RENAME_EXCHANGE = -100, 2  # AT_FDCWD and the flag of renameat2(2)


def check_free(path: Path, *, replace: bool, name: str = "out") -> None:
    """Refuse to overwrite something, and delete what crashed runs left beside it.

    Args:
        path: Where something is to be written.
        replace: Whether something may be there.
        name: The parameter that gave the path.

    Raises:
        FeatureFileError: Something exists at `path` and `replace` is not set.
    """
    with translate_io_errors(path):  # a name that is too long, a parent that is a file
        is_there = path.exists()
    sweep_leftovers(path)
    if is_there and not replace:
        raise FeatureFileError(f"{path} already exists.", hint=f"Use another `{name}`, or `force=True` to replace it.")


def check_holds_only(folder: Path, kinds: Sequence[str], what: str, *, is_part: Callable[[Path], bool]) -> None:
    """Check that a folder that is to be replaced is one of ours, and holds nothing else.

    Args:
        folder: The folder; nothing is checked where there is none.
        kinds: The kinds of folder, one of which its JSON file states; that file is named after the first.
        what: The kind in a message: `a head`.
        is_part: Whether a path in the folder, relative to it, belongs to that kind.

    Raises:
        FeatureFileError: It is something else, or holds something else; the message names one such file.
    """
    if not folder.exists():
        return
    if not _is_of_kind(folder, kinds):
        raise FeatureFileError(
            f"{folder} already exists and is not {what}.", hint=f"Use another `out`: `force=True` replaces only {what}."
        )
    foreign = min((path for path in folder.rglob("*") if not is_part(path.relative_to(folder))), default=None)
    if foreign is not None:
        raise FeatureFileError(
            f"{folder} is not replaced: {foreign} is no part of {what}.",
            hint="Move it elsewhere, or use another `out`.",
        )


def _is_of_kind(folder: Path, kinds: Sequence[str]) -> bool:
    try:
        return read_json(folder / f"{kinds[0]}.json", hint="").get("kind") in kinds
    except FeatureFileError:
        return False


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool) -> Iterator[Path]:
    """Yield a folder to fill, which is moved to `path` when the block ends without an error.

    Args:
        path: The folder.
        replace: Whether to replace a folder there; the caller has checked that it is ours.

    Yields:
        The folder to fill.

    Raises:
        FeatureFileError: Something exists at `path` and `replace` is not set, or the disk refuses.
    """
    check_free(path, replace=replace)
    with translate_io_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path) as staging:
            staging.chmod(0o777 & ~_umask())
            yield staging
            for file in (staging, *staging.rglob("*")):
                sync(file)
            replace_folder(staging, path)


def replace_folder(new: Path, path: Path) -> None:
    """Move a folder to `path`; the old one is deleted after that, once no process holds it."""
    if not path.exists():
        new.rename(path)
        sync(path.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    if _exchange(new, path):
        new.rename(old)
    else:
        _move_aside_and_in(new, path, old)
    sync(path.parent)
    delete_unless_held(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically, where the system can: at no moment is either path missing."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux
    return rename is not None and rename(_HERE, bytes(one), _HERE, bytes(other), _RENAME_EXCHANGE) == 0


def _move_aside_and_in(new: Path, path: Path, old: Path) -> None:
    try:
        path.rename(old)
        new.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            old.rmdir() if path.exists() else old.rename(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

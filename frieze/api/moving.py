"""Move the files of confirmed copies into a folder, and back again."""

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frieze import terminal
from frieze.api.copy_files import (
    MISSING,
    CopyFile,
    ImageFile,
    is_file,
    is_unchanged,
    list_copies,
    relative_names,
    source_folder,
    why_not_to_move,
)
from frieze.core import (
    InputError,
    append_line,
    counted,
    drop_empty,
    format_size,
    move_to_free_name,
    translate_io_errors,
)

if TYPE_CHECKING:
    from frieze.indexing import Index

LOG_NAME = "frieze-moved.jsonl"
"""The file, in the folder, that says where each image was."""

DECLINED = "the question was answered with no"
DENIED = "permission denied"
_TAKEN = "the name is taken"
_CHANGED = "changed since they were moved"


class _Move(NamedTuple):
    """A line of the log.

    Attributes:
        origin: Where the file was.
        target: Where it went, relative to the log's folder.
        sha256: Of its bytes.
        size_bytes: Its size.
    """

    origin: str
    target: str
    sha256: str
    size_bytes: int

    def to_line(self) -> bytes:
        document = {"from": self.origin, "to": self.target, "sha256": self.sha256, "size": self.size_bytes}
        return json.dumps(document).encode()


def check_move(folder: Path, index: "Index", *, yes: bool) -> None:
    """Refuse a move before anything is searched.

    Raises:
        InputError: Nobody can be asked, or the folder can't be used.
    """
    if not (yes or terminal.can_ask()):
        raise InputError(
            "`move_to` asks before it moves anything, and there is no terminal.",
            hint="To move without a question, use `yes=True` with it.",
        )
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Use another `move_to`.")
    source = source_folder(index)
    if source is not None and folder.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{folder} is inside of {source}, where the next run of frieze embed would find the images again.",
            hint="Use a `move_to` outside of it.",
        )


def move_copies(index: "Index", document: dict[str, Any], folder: Path, *, yes: bool) -> dict[str, Any]:
    """Move the files of all confirmed copies into a folder; the images to keep stay.

    Each file and the one to keep are read again first, and are left where either is not as it was embedded.

    Args:
        index: The opened index.
        document: The document of `frieze duplicates`.
        folder: The folder; created where it is missing.
        yes: Whether to move without a question.

    Returns:
        The fields `moved`, `moved_bytes`, `moved_to`, `emptied`, `left` and `undo` of the document.

    Raises:
        FeatureFileError: The disk refuses; what was moved is in the log.
    """
    copies, left = list_copies(index, document)
    moved: list[ImageFile] = []
    if copies and not (yes or terminal.ask(_question(copies, folder))):
        left[DECLINED] += len(copies)
    elif copies:
        for one, reason in _move_all(copies, relative_names(index, copies), folder):
            if reason is None:
                moved.append(one.copy)
            else:
                left[reason] += 1
    return {
        "moved": len(moved),
        "moved_bytes": sum(file.size_bytes for file in moved),
        "moved_to": str(folder),
        "emptied": _empty_folders(file.path for file in moved),
        "left": dict(left),
        "undo": str(folder / LOG_NAME) if moved else None,
    }


def _empty_folders(paths: Iterable[Path]) -> list[str]:
    """Return the folders of those files that hold nothing any more, sorted."""
    return [str(folder) for folder in sorted({path.parent for path in paths}) if _is_empty(folder)]


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:  # it is gone already, or may not be read
        return False


def _question(copies: list[CopyFile], folder: Path) -> str:
    size = format_size(sum(one.copy.size_bytes for one in copies))
    return f"Move {counted(len(copies), 'image')} ({size}) to {folder}?"


def _move_all(copies: list[CopyFile], names: Iterable[Path], folder: Path) -> Iterator[tuple[CopyFile, str | None]]:
    """Move copies; yield each with the reason why it was left, None for one that was moved."""
    with translate_io_errors(folder), terminal.progress("Moving", "images") as step:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (one, name) in enumerate(zip(copies, names, strict=True), 1):
            yield one, why_not_to_move(one) or _move(one.copy, folder, name)
            step(number, len(copies))


def _move(file: ImageFile, folder: Path, name: Path) -> str | None:
    """Move one file, after a line in the log; return why it was left."""
    target = _free_name(folder / name)
    move = _Move(str(file.path), str(target.relative_to(folder)), file.sha256, file.size_bytes)
    append_line(folder / LOG_NAME, move.to_line())
    return _move_file(file.path, target)


def _move_file(path: Path, target: Path) -> str | None:
    """Move a file below a folder that may be missing; return why it was left."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        move_to_free_name(path, target)
    except PermissionError:
        return DENIED
    except (FileExistsError, NotADirectoryError):
        return _TAKEN
    return None


def _free_name(path: Path) -> Path:
    """Return a path at which there is nothing: with a number where there is something at this one."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not os.path.lexists(one))


def undo_moves(place: Path) -> dict[str, Any]:
    """Move back what `move_copies` moved, the last one first; nothing is overwritten.

    A line whose move did not happen, or was undone already, is passed over.

    Args:
        place: The folder, or the log in it.

    Returns:
        The fields `moved_back`, `left` and `undo` of the document.

    Raises:
        InputError: There is no log, or it can't be read.
        FeatureFileError: The disk refuses.
    """
    log = place / LOG_NAME if place.is_dir() else place
    moves = _read_log(log)
    n_back, left = 0, Counter[str]()
    with translate_io_errors(log.parent), terminal.progress("Moving back", "images") as step:
        for number, move in enumerate(reversed(moves), 1):
            moved, origin = log.parent / move.target, Path(move.origin)
            if not _is_back(moved, origin):
                reason = _move_back(ImageFile(moved, move.sha256, move.size_bytes), origin)
                n_back += reason is None
                left.update([] if reason is None else [reason])
            step(number, len(moves))
        _remove_empty(log.parent, moves)
    return {"moved_back": n_back, "left": dict(left), "undo": str(log)}


def _remove_empty(place: Path, moves: Sequence[_Move]) -> None:
    """Remove the folders below a place that images were moved to, and that are empty now."""
    folders = {folder for move in moves for folder in (place / move.target).parents if place in folder.parents}
    for folder in sorted(folders, reverse=True):  # those inside come first
        with contextlib.suppress(OSError):
            folder.rmdir()


def _is_back(moved: Path, origin: Path) -> bool:
    """Return whether a file is where it was before; empty files that a kill left in either place are removed."""
    if os.path.lexists(moved) and os.path.lexists(origin):
        drop_empty(moved)
        drop_empty(origin)
    return is_file(origin) and not os.path.lexists(moved)


def _move_back(file: ImageFile, origin: Path) -> str | None:
    """Move one file back; return why it was left."""
    if not is_file(file.path):
        return MISSING
    if os.path.lexists(origin):
        return _TAKEN
    return _move_file(file.path, origin) if is_unchanged(file) else _CHANGED


def _read_log(path: Path) -> list[_Move]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"{path} can't be read: {error.strerror}.",
            hint=f"Give the folder into which images were moved: it has the file {LOG_NAME}.",
        ) from error
    return [move for move in map(_to_move, lines) if move is not None]


def _to_move(line: bytes) -> _Move | None:
    """Parse a line of the log; None for a torn one."""
    try:
        document = json.loads(line)
        return _Move(document["from"], document["to"], document["sha256"], document["size"])
    except (ValueError, LookupError, TypeError):
        return None

"""A shell script that moves confirmed copies, for people who review before they run."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze.api.copy_files import CopyFile, list_copies, relative_names
from frieze.core import FeatureFileError, check_writable, counted, translate_io_errors, write_file

if TYPE_CHECKING:
    from frieze.indexing import Index

_FOLDER = Path("duplicates")
_FIRST_LINES = "#!/bin/sh\n# Written by frieze duplicates"
"""How our scripts start; only those are replaced."""


def check_script(path: Path, *, force: bool) -> None:
    """Refuse a path where no script can be written, or where something must not be overwritten.

    Raises:
        FeatureFileError: It is such a path.
    """
    check_writable(path, force=force, name="script")
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(_FIRST_LINES.encode())):
        raise FeatureFileError(
            f"{path} already exists and is no script written by Frieze.", hint="Use another `script`."
        )


def write_script(path: Path, index: "Index", document: dict[str, Any]) -> None:
    """Write a POSIX shell script with a command for each confirmed copy that is a file of its own.

    Args:
        path: The file, checked by `check_script`.
        index: The opened index.
        document: The document of `frieze duplicates`.

    Raises:
        FeatureFileError: The disk refuses.
    """
    copies, left = list_copies(index, document)
    names = relative_names(index, copies)
    lines = [*_header(document, len(copies), dict(left)), *_commands(copies, names)]
    with translate_io_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda staging: _write(staging, lines))


def _write(path: Path, lines: list[str]) -> None:
    path.write_bytes(os.fsencode("\n".join(lines) + "\n"))  # names that are not UTF-8 keep their bytes


def _header(document: dict[str, Any], n_copies: int, left: dict[str, int]) -> Iterator[str]:
    of_groups = f"{counted(n_copies, 'copy', 'copies')} in {counted(len(document['groups']), 'group')}"
    yield f"{_FIRST_LINES} from {json.dumps(document['index'])}: {of_groups}."
    yield "# Every copy has the bytes of the image to keep, or was confirmed against it on the pixels, in small."
    yield f"# Moves each copy into ./{_FOLDER} of the folder in which you run it; nothing is overwritten or deleted."
    yield "# Review it, and delete the line of each copy that is to stay. To delete a copy, use its line with rm."
    yield "# The files are not checked again: run it only while they are those that were embedded."
    for reason, n in left.items():
        yield f"# Not in here: {counted(n, 'copy', 'copies')} ({reason})."


def _commands(copies: list[CopyFile], names: list[Path]) -> Iterator[str]:
    """Yield the lines of each copy; no comment holds a line end, behind which a command would start."""
    made = set()
    for one, name in zip(copies, names, strict=True):
        target, source = _FOLDER / name, shlex.quote(str(one.copy.path))
        yield ""
        yield f"# {one.member['kind']}, shows {one.member['overlap']:.0%} of {json.dumps(str(one.keeper.path))}"
        if target.parent not in made:
            made.add(target.parent)
            yield f"mkdir -p -- {_quote(target.parent)}"
        yield f"mv -n -- {source} {_quote(target)}"
        if "\n" not in source:
            yield f"# rm -- {source}"


def _quote(path: Path) -> str:
    return shlex.quote(f"./{path}")

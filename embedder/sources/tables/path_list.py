"""Lists of paths: in a file, or on stdin."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from frieze.core import InputError
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.files import open_place, to_id, to_uri
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.tables.named_images import open_named, resolve
from frieze.embedder.sources.text_encoding import to_utf8

STDIN = "-"
_TO_CSV = (
    r"""(echo path,label; sed -E 's/^(.*[^[:space:]])[[:space:]]+([^[:space:]]+)[[:space:]]*$/"\1",\2/' %s) > %s"""
)


def open_list(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images that files of paths name, one a line, relative to the file's own folder.

    Raises:
        InputError: A file can't be read, or is empty.
    """
    lines: list[tuple[str, str]] = []
    for file in files:
        try:
            with open_place(file.place) as opened:
                lines.extend((path, file.place.rpartition("/")[0]) for path in _split(opened.read()))
        except OSError as error:
            raise InputError(f"{file.place} can't be read: {error.strerror}.", hint="Check the path.") from error
    return _open(lines, source, options)


def open_stdin(options: SourceOptions) -> Source:
    r"""List the images whose paths come on stdin: one a line, or ended by `\0` as `find -print0` writes them.

    Raises:
        InputError: Nothing comes.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "There is no list of paths on stdin.", hint="Send one: find photos -name '*.jpg' | frieze embed - --out OUT"
        )
    here = to_uri(str(Path.cwd()))
    return _open([(path, here) for path in _split(sys.stdin.buffer.read())], STDIN, options)


def _split(data: bytes) -> list[str]:
    data = to_utf8(data)
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _open(lines: Sequence[tuple[str, str]], source: str, options: SourceOptions) -> Source:
    """List images by their paths as written, and the folder each begins at; a line that is there twice counts once."""
    if not lines:
        raise InputError(f"{source} names no image.", hint="Write one path a line.")
    names = [to_id(path if "://" in path else os.path.normpath(path)) for path, _ in dict.fromkeys(lines)]
    uris = [resolve(path, base) for path, base in dict.fromkeys(lines)]
    by_id = dict(zip(names, uris, strict=True))
    labels = [os.path.basename(os.path.dirname(name)) or None for name in by_id]
    named = {
        "id": pa.array(by_id, pa.string()),
        "uri": pa.array(by_id.values(), pa.string()),
        "label": pa.array(labels if options.labels == "folder" else [None] * len(by_id), pa.string()),
    }
    try:
        return open_named(pa.table(named), [], source, options)
    except InputError as error:
        if not all(map(_names_a_label, by_id)):
            raise
        hint = "Its lines end in a label: give them as a CSV with the columns path and label."
        if os.path.exists(source):
            csv = f"{os.path.splitext(source)[0]}.csv"
            hint += f" {_TO_CSV % (shlex.quote(source), shlex.quote(csv))}"
        raise InputError(str(error).partition("\n")[0], hint=hint) from error


def _names_a_label(line: str) -> bool:
    """Tell whether a line is a path and a label, as Caffe has them.

    >>> _names_a_label("n01/two words.JPEG 12"), _names_a_label("n01/two words.JPEG")
    (True, False)
    """
    path, _, label = line.rstrip().replace("\t", " ").rpartition(" ")
    return is_image_name(path.rstrip()) and not is_image_name(label)

"""Lists of paths, in a file or on stdin."""

import os
import shlex
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from frieze.core import InputError
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.files import open_uri, to_id, to_uri
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.tables.referenced_images import open_referenced, resolve_path
from frieze.embedder.sources.unicode_text import to_utf8
from frieze.embedder.sources.web.options import is_web

STDIN = "-"
_TO_CSV = (
    r"""(echo path,label; sed -E 's/^(.*[^[:space:]])[[:space:]]+([^[:space:]]+)[[:space:]]*$/"\1",\2/' %s) > %s"""
)


def open_list(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in files of paths, one a line, relative to the folder of the file.

    Raises:
        InputError: A file can't be read or is empty.
    """
    lines: list[tuple[str, str]] = []
    for file in files:
        try:
            with open_uri(file.uri) as opened:
                lines.extend((path, file.uri.rpartition("/")[0]) for path in _split(opened.read()))
        except OSError as error:
            raise InputError(f"{file.uri} can't be read: {error.strerror}.", hint="Check the path.") from error
    return _open(lines, source, options)


def open_stdin(options: SourceOptions) -> Source:
    r"""List the images whose paths are on stdin: one a line, or separated by `\0` as in `find -print0`.

    Raises:
        InputError: Stdin is empty.
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
    """List images by their paths as written and their base folders; repeated lines count once."""
    if not lines:
        raise InputError(f"{source} lists no image.", hint="Write one path a line.")
    names = [to_id(path if "://" in path else os.path.normpath(path)) for path, _ in dict.fromkeys(lines)]
    uris = [resolve_path(path, base) for path, base in dict.fromkeys(lines)]
    by_id = dict(zip(names, uris, strict=True))
    images = {
        "id": pa.array(by_id, pa.string()),
        "uri": pa.array(by_id.values(), pa.string()),
        "label": pa.array([options.folder_label(_path_of(one)) for one in by_id], pa.string()),
    }
    try:
        return open_referenced(pa.table(images), [], source, options)
    except InputError as error:
        if not all(map(_has_label, by_id)):
            raise
        hint = "Its lines end in a label: pass a CSV with the columns path and label."
        if os.path.exists(source):
            csv = f"{os.path.splitext(source)[0]}.csv"
            hint += f" {_TO_CSV % (shlex.quote(source), shlex.quote(csv))}"
        raise InputError(str(error).partition("\n")[0], hint=hint) from error


def _path_of(name: str) -> str:
    """Return the path of a URL of the web, whose host is no label; any other name unchanged.

    >>> _path_of("http://host/cats/b.jpg?size=1"), _path_of("http://[::1/b.jpg"), _path_of("cats/b.jpg")
    ('/cats/b.jpg', '', 'cats/b.jpg')
    """
    try:
        return urllib.parse.urlsplit(name).path if is_web(name) else name
    except ValueError:
        return ""


def _has_label(line: str) -> bool:
    """Return whether a line is a path and a label, as in Caffe's lists.

    >>> _has_label("n01/two words.JPEG 12"), _has_label("n01/two words.JPEG")
    (True, False)
    """
    path, _, label = line.rstrip().replace("\t", " ").rpartition(" ")
    return is_image_name(path.rstrip()) and not is_image_name(label)

"""A folder of images, walked recursively in a stable order."""

import os
import re
import stat
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from embedder.decoding import HEAD_BYTES, is_image
from features import LISTING, Failure, Listing, first_of_each

_EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"))
_BATCH_ROWS = 65_536
_ODD = re.compile("[\udc80-\udcff]")


_Opened = tuple[Iterator[os.DirEntry[str]], frozenset[tuple[int, int]]]


class _Found(NamedTuple):
    """One file whose name or first bytes say that it is an image."""

    path: str
    id: str
    status: os.stat_result


def list_folder(root: Path, *, has_labels: bool, skip: Sequence[Path] = ()) -> Listing:
    """List a folder's images.

    Args:
        root: The folder, or one file.
        has_labels: Whether an image's parent folder names its label; at the root the label is null.
        skip: Folders that are not looked into.

    Returns:
        Every file whose extension or first bytes are an image's, ordered by folder, then name. A dangling link, an
        unreadable folder or a special file with an image's extension is a failure. Other files are counted.
    """
    base = str(root if root.is_dir() else root.parent)
    walk = _Walk(base, skip=frozenset(map(os.path.realpath, skip)))
    start = walk.folder(base) if root.is_dir() else walk.file(str(root))
    images, repeats = first_of_each(_to_table(start, has_labels=has_labels))
    return Listing(_uri(str(root)), images, (*walk.failures, *repeats), walk.n_ignored)


def to_path(uri: str) -> bytes:
    r"""Turn a stored uri back into a path of the file system.

    >>> to_path("/a/b.jpg"), to_path("file:///a/%FF.jpg")
    (b'/a/b.jpg', b'/a/\xff.jpg')
    """
    if uri.startswith("file://"):
        return urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))
    return os.fsencode(uri)


class _Walk:
    """One walk through a folder: what it yields, and what it met besides."""

    def __init__(self, base: str, *, skip: frozenset[str]) -> None:
        self.base = base
        self.skip = skip
        self.failures: list[Failure] = []
        self.n_ignored = 0

    def folder(self, path: str) -> Iterator[_Found]:
        """Yield what is below a folder, in order; on a stack of our own, for a folder may be deeper than Python's."""
        opened = [self._open(path, above=frozenset())]
        while opened:
            children, here = opened[-1]
            child = next(children, None)
            if child is None:
                opened.pop()
            elif not _is_folder(child):
                yield from self.file(child.path)
            elif os.path.realpath(child.path) not in self.skip:
                opened.append(self._open(child.path, above=here))

    def _open(self, path: str, *, above: frozenset[tuple[int, int]]) -> _Opened:
        """List a folder; `above` holds device and inode of the folders it lies in, so that a link to one ends."""
        try:
            status = os.stat(path)
            here = (status.st_dev, status.st_ino)
            if here in above:
                return iter(()), above
            with os.scandir(path) as entries:
                return iter(sorted(entries, key=lambda entry: entry.name)), above | {here}
        except OSError as error:
            self._fail(path, error)
            return iter(()), above

    def file(self, path: str) -> Iterator[_Found]:
        """Yield the file if it claims to be an image or is one."""
        claims = os.path.splitext(path)[1].lower() in _EXTENSIONS
        try:
            status = _regular(path)
            is_candidate = claims or is_image(_head(path))
        except OSError as error:
            if claims:
                self._fail(path, error)
            self.n_ignored += not claims
            return
        if is_candidate:
            yield _Found(path, _id(path, self.base), status)
        self.n_ignored += not is_candidate

    def _fail(self, path: str, error: OSError) -> None:
        reason = "dangling link" if os.path.islink(path) else "unreadable"
        message = error.strerror or str(error)
        self.failures.append(Failure(_id(path, self.base), _uri(path), "list", reason, message))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that can't be read
        return False


def _regular(path: str) -> os.stat_result:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError(0, "not a regular file")
    return status


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _id(path: str, base: str) -> str:
    r"""Name a file by its path below the source, odd bytes written as `\xNN`."""
    name = path[len(base.rstrip("/")) + 1 :] or "."
    return name if name.isascii() else _ODD.sub(lambda odd: f"\\x{ord(odd.group()) - 0xDC00:02x}", name)


def _uri(path: str) -> str:
    if not path.isascii() and _ODD.search(path):
        return "file://" + urllib.parse.quote(os.fsencode(path))
    return path


def _label(image_id: str) -> str | None:
    return os.path.basename(os.path.dirname(image_id)) or None


def _to_table(found: Iterator[_Found], *, has_labels: bool) -> pa.Table:
    """Collect in batches, so that a million paths are Arrow strings and not Python objects."""
    batches, rows = [], []
    for image in found:
        label = _label(image.id) if has_labels else None
        rows.append((image.id, _uri(image.path), label, image.status.st_size, image.status.st_mtime_ns))
        if len(rows) == _BATCH_ROWS:
            batches.append(_to_batch(rows))
            rows = []
    return pa.Table.from_batches([*batches, _to_batch(rows)], schema=LISTING)


def _to_batch(rows: list[tuple[str, str, str | None, int, int]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(LISTING.names)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, LISTING, strict=True)], schema=LISTING
    )

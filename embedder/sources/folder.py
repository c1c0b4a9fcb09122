"""A folder of images, walked recursively in a stable order."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from embedder.decoding import HEAD_BYTES, is_image
from embedder.sources.collecting import Found, collect
from embedder.sources.places import facts_of, open_place, read_places, to_id, to_uri
from embedder.sources.source import Source, SourceOptions
from features import Failure, Listing

EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"))
"""What the name of an image ends in, in small letters."""

_Opened = tuple[Iterator[os.DirEntry[str]], frozenset[tuple[int, int]]]


def open_folder(root: Path, options: SourceOptions) -> Source:
    """List a folder's images.

    Args:
        root: The folder, or one file.
        options: With the labels of folders, an image's parent folder names its label; at the root the label is null.

    Returns:
        Every file whose extension or first bytes are an image's, ordered by folder, then name. A dangling link, an
        unreadable folder or a special file with an image's extension is a failure. Other files are counted.
    """
    base = str(root if root.is_dir() else root.parent)
    walk = _Walk(base, options)
    return walk.source(to_uri(str(root)), walk.folder(base) if root.is_dir() else walk.file(str(root)))


def open_files(paths: Sequence[str], base: str, source: str, options: SourceOptions) -> Source:
    """List the images among some files, named by their paths below a folder.

    Args:
        paths: Absolute paths of files below `base`.
        base: The folder.
        source: What the user gave, for the table's own record.
        options: As for a folder.
    """
    walk = _Walk(base, options)
    return walk.source(source, (found for path in paths for found in walk.file(path)))


class _Walk:
    """One walk through a folder: what it yields, and what it met besides."""

    def __init__(self, base: str, options: SourceOptions) -> None:
        self.base = base.rstrip("/")
        self.options = options
        self.skip = frozenset(map(os.path.realpath, options.skip))
        self.failures: list[Failure] = []
        self.n_ignored = 0

    def source(self, name: str, found: Iterator[Found]) -> Source:
        """Gather what a walk finds."""
        images, _, _, repeats = collect(found)
        listing = Listing(name, images, (*self.failures, *repeats), self.n_ignored)
        return Source(listing, read_places(images["uri"], max_bytes=self.options.max_bytes))

    def folder(self, path: str) -> Iterator[Found]:
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

    def file(self, path: str) -> Iterator[Found]:
        """Yield the file if it claims to be an image or is one."""
        claims = os.path.splitext(path)[1].lower() in EXTENSIONS
        uri = to_uri(path)
        try:
            facts = facts_of(uri)
            is_candidate = claims or is_image(_head(uri))
        except OSError as error:
            if claims:
                self._fail(path, error)
            self.n_ignored += not claims
            return
        if is_candidate:
            name = self._name(path)
            yield Found(name, uri, self._label(name), *facts)
        self.n_ignored += not is_candidate

    def _name(self, path: str) -> str:
        return to_id(path[len(self.base) + 1 :] or ".")

    def _label(self, name: str) -> str | None:
        return os.path.basename(os.path.dirname(name)) or None if self.options.labels == "folder" else None

    def _fail(self, path: str, error: OSError) -> None:
        reason = "dangling link" if os.path.islink(path) else "unreadable"
        message = error.strerror or str(error)
        self.failures.append(Failure(self._name(path), to_uri(path), "list", reason, message))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that can't be read
        return False


def _head(place: str) -> bytes:
    with open_place(place) as file:
        return file.read(HEAD_BYTES)

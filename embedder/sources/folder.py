"""A folder of images, walked recursively in a stable order."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from frieze.core import ImageError, Rows, counted, shorten
from frieze.embedder.images.signatures import HEAD_BYTES, is_image
from frieze.embedder.images.unsupported_formats import format_of, is_optional_format, suffix_of
from frieze.embedder.sources.base import Content, Listing, Source, SourceOptions
from frieze.embedder.sources.files import is_missing, open_uri, read_uris, stat_uri, to_uri
from frieze.embedder.sources.frames import FrameRule, is_video_name, list_frames, read_frames
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.embedder.sources.walk import Walk
from frieze.features import Failure

EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif"))
"""Extensions of images, in lower case."""


def is_image_name(name: str) -> bool:
    """Return whether a file has the extension of an image format that can be read."""
    suffix = suffix_of(name)
    return suffix in EXTENSIONS or is_optional_format(suffix)


def open_folder(root: Path, options: SourceOptions) -> Source:
    """List a folder's images.

    Args:
        root: The folder, or one file.
        options: With `labels="folder"` the parent folder is the label; at the root the label is null.

    Returns:
        Every file with the extension or signature of an image, ordered by folder, then name. Dangling links, special
        files with the extension of an image, and unreadable paths are failures. Other files are counted by format;
        hidden and excluded files are skipped.
    """
    walk = Walk(str(root if root.is_dir() else root.parent), options, hides=lambda *_: True)
    return open_files(walk, walk.files() if root.is_dir() else [str(root)], to_uri(str(root)), options)


def open_files(walk: Walk, paths: Iterable[str], source: str, options: SourceOptions) -> Source:
    """List the images among some files.

    Args:
        walk: The walk that yields the files, with its failures and counts.
        paths: Absolute paths of files below the base of the walk.
        source: The source as stored with the table.
        options: As for a folder.
    """
    files = _Files(walk, options)
    records = (record for path in paths for record in files.to_records(path))
    images, _, _, duplicates = build_listing(records, options.on_progress)
    listing = Listing(
        source,
        images,
        (*walk.failures, *duplicates),
        files.ignored.total(),
        files.ignored,
        walk.n_hidden,
        walk.excluded.counts,
        tuple(walk.empty),
    )
    read = read_uris(images["uri"], max_bytes=options.max_bytes)
    if files.rule is not None:
        read = _read_frames(images["uri"], options.max_bytes)
    return Source(listing, read, notes=(*walk.notes(), *files.notes()))


def _read_frames(uris: Any, max_bytes: int) -> Callable[[Rows], Iterable[Content]]:
    return lambda rows: read_frames(uris.take(rows).to_pylist(), max_bytes=max_bytes)


class _Files:
    """Separates images from other files, which are counted by format."""

    def __init__(self, walk: Walk, options: SourceOptions) -> None:
        self._walk = walk
        self._options = options
        self.rule = FrameRule.of(options.frames)
        self.ignored: Counter[str] = Counter()
        self._videos = list[str]()

    def to_records(self, path: str) -> Iterator[ImageRecord]:
        """Yield the record of a file that is an image by its extension or signature."""
        has_image_name, uri = is_image_name(path) or (self.rule is not None and is_video_name(path)), to_uri(path)
        try:
            size_bytes, mtime_ns = stat_uri(uri)
            head = b"" if has_image_name else _head(uri)
        except OSError as error:
            if is_missing(error) and not has_image_name:
                self._ignore(path)
                if os.path.islink(path):  # it may have led to a folder
                    self._walk.add_empty(path, "this link leads nowhere now")
            else:
                self._walk.add_failure(path, error)
            return
        if has_image_name or is_image(head):
            name = self._walk.name(path)
            label = self._options.folder_label(name)
            for below in self._frames(path, uri):
                columns = {"file": name} if below else None
                yield ImageRecord(name + below, uri + below, label, size_bytes, mtime_ns, columns=columns)
        else:
            self._ignore(path, head)

    def _frames(self, path: str, uri: str) -> Iterable[str]:
        """Return what follows the file's name in the ids of its rows."""
        if self.rule is None:
            return ("",)
        try:
            return [f"/{name}" for name in list_frames(uri, self.rule)] or [""]
        except ImageError as error:
            self._walk.failures.append(Failure(self._walk.name(path), uri, error.stage, error.reason, error.message))
            return ()

    def notes(self) -> tuple[str, ...]:
        """Return a note on the videos that are left out."""
        if not self._videos:
            return ()
        names, source = shorten(self._videos), shlex.quote(self._walk.base)
        what = counted(len(self._videos), "video is left out", "videos are left out")
        return (f"{what}: {names}; to have a frame of each two seconds: frieze embed {source} --frames 2s --out OUT",)

    def _ignore(self, path: str, head: bytes = b"") -> None:
        self.ignored[format_of(path, head)] += 1
        if self.rule is None and is_video_name(path):
            self._videos.append(self._walk.name(path))


def _head(uri: str) -> bytes:
    with open_uri(uri) as file:
        return file.read(HEAD_BYTES)

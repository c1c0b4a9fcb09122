"""A folder of images, walked recursively in a stable order."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image
from frieze.embedder.images.unread_pictures import format_of, is_read_by_name
from frieze.embedder.sources.base import Listing, Source, SourceOptions
from frieze.embedder.sources.files import facts_of, is_gone, open_place, read_places, to_uri
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.embedder.sources.walk import Walk

EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif"))
"""What the name of an image ends in, in small letters."""


def is_image_name(name: str) -> bool:
    """Tell whether a file claims by its name to be an image of a kind that is read."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS or is_read_by_name(name)


def open_folder(root: Path, options: SourceOptions) -> Source:
    """List a folder's images.

    Args:
        root: The folder, or one file.
        options: With the labels of folders, an image's parent folder names its label; at the root the label is null.

    Returns:
        Every file whose extension or first bytes are an image's, ordered by folder, then name. A dangling link, a
        special file with an image's extension, and whatever can't be looked at is a failure. Other files are counted
        by their formats; what is hidden or excluded is left out.
    """
    walk = Walk(str(root if root.is_dir() else root.parent), options, hides=lambda *_: True)
    return open_files(walk, walk.files() if root.is_dir() else [str(root)], to_uri(str(root)), options)


def open_files(walk: Walk, paths: Iterable[str], source: str, options: SourceOptions) -> Source:
    """List the images among some files.

    Args:
        walk: Found them, names them, and knows what else could not be looked at.
        paths: Absolute paths of files below its base.
        source: What the user gave, for the table's own record.
        options: As for a folder.
    """
    files = _Files(walk, options)
    images, _, _, repeats = build_listing((found for path in paths for found in files.look_at(path)), options.listed)
    listing = Listing(
        source,
        images,
        (*walk.failures, *repeats),
        files.ignored.total(),
        files.ignored,
        walk.n_hidden,
        walk.excluded.counts,
        tuple(walk.empty),
    )
    return Source(listing, read_places(images["uri"], max_bytes=options.max_bytes), notes=walk.notes())


class _Files:
    """Tells images from other files, and counts these by format."""

    def __init__(self, walk: Walk, options: SourceOptions) -> None:
        self._walk = walk
        self._has_labels = options.labels == "folder"
        self.ignored: Counter[str] = Counter()

    def look_at(self, path: str) -> Iterator[ImageRecord]:
        """Yield the file if it claims to be an image or is one."""
        claims, uri = is_image_name(path), to_uri(path)
        try:
            facts = facts_of(uri)
            head = b"" if claims else _head(uri)
        except OSError as error:
            if is_gone(error) and not claims:
                self._ignore(path)
                if os.path.islink(path):  # it may have been one to a folder
                    self._walk.note_empty(path, "this link leads nowhere now")
            else:
                self._walk.fail(path, error)
            return
        if claims or is_image(head):
            name = self._walk.name(path)
            label = os.path.basename(os.path.dirname(name)) or None
            yield ImageRecord(name, uri, label if self._has_labels else None, *facts)
        else:
            self._ignore(path, head)

    def _ignore(self, path: str, head: bytes = b"") -> None:
        self.ignored[format_of(path, head)] += 1


def _head(place: str) -> bytes:
    with open_place(place) as file:
        return file.read(HEAD_BYTES)

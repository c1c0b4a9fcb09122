"""Images that a manifest or a list of paths refers to."""

import dataclasses
import errno
import os
import posixpath
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError, InputError, counted, is_remote, truncate
from frieze.embedder.sources.base import Listing, Source, SourceOptions
from frieze.embedder.sources.boxes.columns import find_box_columns
from frieze.embedder.sources.files import is_missing, map_uris, read_uri, read_uris, stat_uri, to_path, to_uri
from frieze.embedder.sources.tables.name_matching import images_below, match_by_name
from frieze.embedder.sources.unicode_text import VARIATIONS, normalized_file_finder
from frieze.embedder.sources.web.options import FetchOptions, is_web
from frieze.embedder.sources.web.read import WebReader
from frieze.features import LISTING, Failure

_IDS_HINT = "Make the ids unique, or name another column with `id='COLUMN'`."
_SHOWN = 5
_MAX_CHARACTERS = 200
_Stat = tuple[int | None, int] | OSError
"""Size in bytes and mtime in nanoseconds, or the error; the size of an image of the web is unknown."""

_NOT_ON_DISK = "not on disk"
_SUPPORTED = "images are read from disk, s3://, gs://, http:// or https://"
_UNKNOWN_TIME = 0
"""The time of an image of the web: it counts as unchanged until the table is made anew."""


def resolve_path(path: str, base: str) -> str:
    """Convert a path as written to a URI.

    Args:
        path: Relative path, absolute path or URL.
        base: URI of the folder that relative paths begin at.

    Returns:
        The URI; a URL of the web or with an unsupported scheme stays unchanged.

    >>> [resolve_path("a/../b.jpg", "/p"), resolve_path("b.jpg", "s3://x/p"), resolve_path("gs://x/b.jpg", "/p")]
    ['/p/b.jpg', 's3://x/p/b.jpg', 'gs://x/b.jpg']
    >>> resolve_path(" http://host/a.jpg ", "/p")
    'http://host/a.jpg'
    >>> resolve_path("100%.jpg", "file:///caf%E9")
    'file:///caf%E9/100%25.jpg'
    """
    if is_web(path.strip()):  # cells of spreadsheets have blanks around them
        return path.strip()
    if path.startswith("file://"):
        return to_uri(os.fsdecode(to_path(path)))
    if is_unsupported_url(path):
        return path
    if is_remote(path) or (is_remote(base) and not path.startswith("/")):
        return path if is_remote(path) else f"{base.rstrip('/')}/{posixpath.normpath(path)}"
    return to_uri(os.path.normpath(os.path.join(os.fsdecode(to_path(base)), path)))


def open_referenced(
    images: pa.Table, failures: Sequence[Failure], source: str, options: SourceOptions, *, below: str | None = None
) -> Source:
    """List referenced images.

    Args:
        images: `id`, `uri` and `label` of each, then the user's columns.
        failures: Rows without a path.
        source: The source as the user typed it.
        options: How to read them.
        below: Folder on disk that is searched for images by file name if no path exists.

    Returns:
        The images that exist; the others are failures.

    Raises:
        InputError: An id is repeated, or no image exists.
    """
    if not options.box_columns:
        ids = pa.chunked_array([*images["id"].chunks, [one.id for one in failures]], pa.string())
        check_ids(ids, source, hint=_ids_hint(images.column_names))
    images, stats, notes = _find_other_spellings(images, _stat_images(images), source)
    if below is not None and stats and all(isinstance(one, OSError) and is_missing(one) for one in stats):
        images, notes = _find_by_file_name(images, below, source)
        stats = _stat_images(images)
    errors = [one for one in stats if isinstance(one, OSError)]
    exists = np.array([not isinstance(one, OSError) for one in stats], bool)
    missing = [
        Failure(image["id"], image["uri"], "list", _reason(error), error.strerror or str(error))
        for error, image in zip(errors, images.filter(pa.array(~exists)).to_pylist(), strict=True)
    ]
    if missing and not exists.any():
        raise _all_missing_error(missing, source)
    images = images.filter(pa.array(exists))
    known = [one for one in stats if not isinstance(one, OSError)]
    for at, name in enumerate(("size_bytes", "mtime_ns")):
        column = pa.array([one[at] for one in known], LISTING.field(name).type)
        images = images.add_column(3 + at, LISTING.field(name), column)
    images = images.cast(pa.schema([*LISTING, *list(images.schema)[len(LISTING) :]]))
    opened = Source(
        Listing(source, images, (*failures, *missing)), read_uris(images["uri"], max_bytes=options.max_bytes)
    )
    if any(map(is_web, images["uri"].to_pylist())):
        reader = WebReader(images["uri"], fetch_options(options))
        opened = dataclasses.replace(opened, read=reader, read_ahead=reader.read_ahead, cancel=reader.cancel)
    return dataclasses.replace(opened, notes=notes)


def fetch_options(options: SourceOptions) -> FetchOptions:
    """Return how a source's images of the web are fetched."""
    return FetchOptions(options.allow_private, options.max_bytes, options.keep)


def _stat_images(images: pa.Table) -> list[_Stat]:
    uris = images["uri"].to_pylist()
    once = list(dict.fromkeys(uris))
    stats = dict(zip(once, map_uris(stat_or_error, once), strict=True))
    return [stats[uri] for uri in uris]


def _find_other_spellings(
    images: pa.Table, stats: list[_Stat], source: str
) -> tuple[pa.Table, list[_Stat], tuple[str, ...]]:
    """Find images whose names on disk are spelled differently: return both inputs corrected, and a note."""
    uris, find = images["uri"].to_pylist(), normalized_file_finder()
    corrected, stats = dict[int, str](), list(stats)
    for row, one in enumerate(stats):
        uri = find(uris[row]) if isinstance(one, OSError) and is_missing(one) else None
        stat = stat_or_error(uri) if uri is not None else one
        if uri is not None and not isinstance(stat, OSError):  # no pipe, no folder
            corrected[row], stats[row] = uri, stat
    if not corrected:
        return images, stats, ()
    column = pa.array([corrected.get(row, uri) for row, uri in enumerate(uris)], pa.string())
    n = f"{len(corrected):,}"
    note = f"Paths of {source} that are spelled differently from the names of their images: {n} ({VARIATIONS})."
    return images.set_column(images.column_names.index("uri"), "uri", column), stats, (note,)


def _find_by_file_name(images: pa.Table, folder: str, source: str) -> tuple[pa.Table, tuple[str, ...]]:
    """Find images below a folder by file name: return the images with their new URIs, and a note.

    Raises:
        InputError: Two files share a name.
    """
    paths = images_below(os.fsdecode(to_path(folder)))
    uris = pa.chunked_array([pa.array([to_uri(path) for path in paths], pa.string())])
    hint = "Write paths that begin at the manifest's own folder."
    once = pa.chunked_array([images["uri"].unique()])
    matched = match_by_name(once, uris, uri=source, hint=hint)
    if matched is None:
        return images, ()
    at, how = matched
    column = pc.coalesce(uris.take(at.take(pc.index_in(images["uri"], once))), images["uri"])
    note = f"No path of {source} leads to an image; they are found below its folder by {how}."
    return images.set_column(images.column_names.index("uri"), "uri", column), (note,)


def _all_missing_error(missing: Sequence[Failure], source: str) -> InputError:
    if all(is_unsupported_url(failure.uri) for failure in missing):
        return InputError(
            f"{shorten_name(missing[0].uri)} can't be read: {_SUPPORTED}.",
            hint="Download the images first, then pass their folder.",
        )
    first = shorten_name(missing[0].uri)
    return InputError(
        f"None of the {len(missing):,} images that {source} refers to exists: the first would be {first}.",
        hint="Paths are relative to the manifest's folder, on stdin to the current folder; or write absolute paths.",
    )


def _ids_hint(names: Sequence[str]) -> str:
    """Return the hint for ids that are repeated: each row of a table of boxes names its image."""
    columns = find_box_columns([name.removeprefix("source_") for name in names])
    boxes = f" Where each row is a box: `box_columns='{','.join(columns.names)}'`." if columns else ""
    return _IDS_HINT + boxes


def check_ids(ids: pa.ChunkedArray, source: str, *, hint: str = _IDS_HINT) -> None:
    """Reject repeated ids.

    Raises:
        InputError: Ids are repeated; the message names some.
    """
    counts = ids.drop_null().value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise InputError(
            f"{source} names {counted(len(repeated), 'id')} more than once: {first_ids(repeated)}.",
            hint=hint,
        )


def first_ids(ids: Any) -> str:
    """Format the first ids for a message.

    >>> first_ids(pa.array(["a", "b"])), first_ids(pa.array(["a"] * 9)), first_ids(pa.array([]))
    ('a, b', 'a, a, a, a, a, ...', 'none')
    """
    return ", ".join(map(shorten_name, ids[:_SHOWN].to_pylist())) + (", ..." if len(ids) > _SHOWN else "") or "none"


def shorten_name(name: object) -> str:
    """Shorten a name for a message: a file's bytes in place of a name have thousands of characters.

    >>> shorten_name("a.jpg"), len(shorten_name("a" * 5000))
    ('a.jpg', 203)
    """
    return truncate(str(name), most=_MAX_CHARACTERS)


def is_unsupported_url(path: str) -> bool:
    """Return whether a path is a URL with an unsupported scheme."""
    return "://" in path and not path.startswith("file://") and not is_remote(path) and not is_web(path)


def stat_or_error(uri: str) -> _Stat:
    """Return size in bytes and mtime in nanoseconds of a referenced image, or the error."""
    if is_web(uri):
        return None, _UNKNOWN_TIME
    if is_unsupported_url(uri):
        return OSError(errno.EPROTONOSUPPORT, f"{_SUPPORTED}: download it first")
    try:
        return stat_uri(uri)
    except OSError as error:
        return error
    except ValueError as error:  # NUL in a name
        return FileNotFoundError(errno.ENOENT, str(error))


class ReferencedReader:
    """Reads images that rows of other files name by their paths or URLs, one at a time.

    Args:
        options: As of the source.

    Attributes:
        cancel: Gives up what is being fetched.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._web = WebReader(pa.array([], pa.string()), fetch_options(options))  # gives up hosts that are dead
        self.cancel = self._web.cancel

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options, "_web": self._web}

    def read(self, uri: str) -> bytes:
        """Read an image.

        Raises:
            ImageError: It can't be read.
        """
        if is_unsupported_url(uri):
            raise ImageError("read", _NOT_ON_DISK, f"{_SUPPORTED}: download it first")
        return self._web.fetch(uri) if is_web(uri) else read_uri(uri, max_bytes=self._options.max_bytes)


def _reason(error: OSError) -> str:
    if error.errno == errno.EPROTONOSUPPORT:
        return _NOT_ON_DISK
    return "missing" if is_missing(error) else "unreadable"

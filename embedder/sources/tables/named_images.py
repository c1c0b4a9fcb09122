"""Images that are named one by one, in a manifest or a list."""

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
from frieze.embedder.sources.files import ask, facts_of, is_gone, read_place, read_places, to_path, to_uri
from frieze.embedder.sources.spelling import HOW, finder_of_spellings
from frieze.embedder.sources.tables.name_matching import images_below, match_by_name
from frieze.features import LISTING, Failure

_SHOWN = 5
_LONGEST = 200
_NOT_ON_DISK = "not on disk"
_ELSEWHERE = "images are read from disk, s3:// or gs://"


def resolve(path: str, base: str) -> str:
    """Turn a path as it is written into a uri.

    Args:
        path: Relative, absolute, or a URL.
        base: Uri of the folder that relative ones begin at.

    Returns:
        The uri; a URL of a kind that is not read stays as it is.

    >>> resolve("a/../b.jpg", "/photos"), resolve("b.jpg", "s3://bucket/photos"), resolve("gs://x/b.jpg", "/photos")
    ('/photos/b.jpg', 's3://bucket/photos/b.jpg', 'gs://x/b.jpg')
    >>> resolve("100%.jpg", "file:///caf%E9")
    'file:///caf%E9/100%25.jpg'
    """
    if path.startswith("file://"):
        return to_uri(os.fsdecode(to_path(path)))
    if is_elsewhere(path):
        return path
    if is_remote(path) or (is_remote(base) and not path.startswith("/")):
        return path if is_remote(path) else f"{base.rstrip('/')}/{posixpath.normpath(path)}"
    return to_uri(os.path.normpath(os.path.join(os.fsdecode(to_path(base)), path)))


def open_named(
    named: pa.Table, failures: Sequence[Failure], source: str, options: SourceOptions, *, below: str | None = None
) -> Source:
    """List named images.

    Args:
        named: `id`, `uri` and `label` of each, then the user's own columns.
        failures: Those that have no path.
        source: What the user gave.
        options: How to read them.
        below: Folder on disk in which images are looked for by their file's name, where none is where its path says.

    Returns:
        All that are there; any other is a failure.

    Raises:
        InputError: An id is there twice, or none of the images is there.
    """
    check_ids(pa.chunked_array([*named["id"].chunks, [one.id for one in failures]], pa.string()), source)
    named, facts, notes = _spelled(named, list(ask(facts_or_error, named["uri"].to_pylist())), source)
    if below is not None and facts and all(isinstance(one, OSError) and is_gone(one) for one in facts):
        named, notes = _look_below(named, below, source)
        facts = list(ask(facts_or_error, named["uri"].to_pylist()))
    errors = [one for one in facts if isinstance(one, OSError)]
    is_there = np.array([not isinstance(one, OSError) for one in facts], bool)
    missing = [
        Failure(image["id"], image["uri"], "list", _reason(error), error.strerror or str(error))
        for error, image in zip(errors, named.filter(pa.array(~is_there)).to_pylist(), strict=True)
    ]
    if missing and not is_there.any():
        raise _none_there(missing, source)
    images = named.filter(pa.array(is_there))
    known = np.array([one for one in facts if not isinstance(one, OSError)], np.int64).reshape(-1, 2)
    for at, (name, values) in enumerate(zip(("size_bytes", "mtime_ns"), known.T, strict=True), 3):
        images = images.add_column(at, LISTING.field(name), pa.array(values))
    images = images.cast(pa.schema([*LISTING, *list(images.schema)[len(LISTING) :]]))
    listing = Listing(source, images, (*failures, *missing))
    return Source(listing, read_places(images["uri"], max_bytes=options.max_bytes), notes=notes)


def _spelled(
    named: pa.Table, facts: list[tuple[int, int] | OSError], source: str
) -> tuple[pa.Table, list[tuple[int, int] | OSError], tuple[str, ...]]:
    """Find images whose names on disk are written otherwise than in their paths: gives all of both, and says so."""
    uris, find = named["uri"].to_pylist(), finder_of_spellings()
    found, facts = dict[int, str](), list(facts)
    for row, one in enumerate(facts):
        uri = find(uris[row]) if isinstance(one, OSError) and is_gone(one) else None
        there = facts_or_error(uri) if uri is not None else one
        if uri is not None and not isinstance(there, OSError):  # no pipe, no folder
            found[row], facts[row] = uri, there
    if not found:
        return named, facts, ()
    column = pa.array([found.get(row, uri) for row, uri in enumerate(uris)], pa.string())
    note = f"Paths of {source} that are written otherwise than the names of their images: {len(found):,} ({HOW})."
    return named.set_column(named.column_names.index("uri"), "uri", column), facts, (note,)


def _look_below(named: pa.Table, folder: str, source: str) -> tuple[pa.Table, tuple[str, ...]]:
    """Find images below a folder by their file's name: gives the images with what is found, and says so.

    Raises:
        InputError: Two files have the name of one.
    """
    paths = images_below(os.fsdecode(to_path(folder)))
    uris = pa.chunked_array([pa.array([to_uri(path) for path in paths], pa.string())])
    hint = "Write paths that begin at the manifest's own folder."
    matched = match_by_name(named["uri"], uris, place=source, hint=hint)
    if matched is None:
        return named, ()
    at, how = matched
    found = pc.coalesce(uris.take(at), named["uri"])
    note = f"No path of {source} leads to an image; they were found below its folder by {how}."
    return named.set_column(named.column_names.index("uri"), "uri", found), (note,)


def _none_there(missing: Sequence[Failure], source: str) -> InputError:
    if all(is_elsewhere(failure.uri) for failure in missing):
        return InputError(
            f"{shorten(missing[0].uri)} can't be read: {_ELSEWHERE}.",
            hint="Fetch the images first, then give the folder they are in.",
        )
    first = shorten(missing[0].uri)
    return InputError(
        f"None of the {len(missing):,} images that {source} names is there: the first would be {first}.",
        hint="Paths begin at the manifest's own folder, on stdin at the current one; or write them from / on.",
    )


def check_ids(
    ids: pa.ChunkedArray,
    source: str,
    *,
    hint: str = "Give each row an id of its own, or name another column with --id COLUMN.",
) -> None:
    """Refuse ids that are there twice.

    Raises:
        InputError: There are such; the message names some.
    """
    counts = ids.drop_null().value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise InputError(
            f"{source} names {counted(len(repeated), 'id')} more than once: {shown(repeated)}.",
            hint=hint,
        )


def shown(ids: Any) -> str:
    """Write the first of some ids for a message.

    >>> shown(pa.array(["a", "b"])), shown(pa.array(["a"] * 9)), shown(pa.array([]))
    ('a, b', 'a, a, a, a, a, ...', 'none')
    """
    return ", ".join(map(shorten, ids[:_SHOWN].to_pylist())) + (", ..." if len(ids) > _SHOWN else "") or "none"


def shorten(name: object) -> str:
    """Write a name for a message: one that is no name, but a file's bytes as text, has thousands of signs.

    >>> shorten("a.jpg"), len(shorten("a" * 5000))
    ('a.jpg', 203)
    """
    return truncate(str(name), most=_LONGEST)


def is_elsewhere(path: str) -> bool:
    """Tell whether a path is a URL of a kind that is not read."""
    return "://" in path and not path.startswith("file://") and not is_remote(path)


def facts_or_error(place: str) -> tuple[int, int] | OSError:
    """Give size in bytes and mtime in nanoseconds of an image that is named, or why it can't be had."""
    if is_elsewhere(place):
        return OSError(errno.EPROTONOSUPPORT, f"{_ELSEWHERE}: fetch it first")
    try:
        return facts_of(place)
    except OSError as error:
        return error
    except ValueError as error:  # NUL in a name
        return FileNotFoundError(errno.ENOENT, str(error))


def read_named(uri: str, *, max_bytes: int) -> bytes:
    """Read an image that is named.

    Raises:
        ImageError: It can't be read.
    """
    if is_elsewhere(uri):
        raise ImageError("read", _NOT_ON_DISK, f"{_ELSEWHERE}: fetch it first")
    return read_place(uri, max_bytes=max_bytes)


def _reason(error: OSError) -> str:
    if error.errno == errno.EPROTONOSUPPORT:
        return _NOT_ON_DISK
    return "missing" if is_gone(error) else "unreadable"

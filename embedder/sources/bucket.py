"""Folders and shards in buckets: `s3://` and `gs://`."""

import fnmatch
import glob
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from frieze.core import InputError, check_bucket_url, open_file_system
from frieze.embedder.images.unread_pictures import format_of
from frieze.embedder.sources.base import File, Listing, Source, SourceOptions
from frieze.embedder.sources.files import read_places
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.formats import IN_FOLDERS, kind_of, open_kind
from frieze.embedder.sources.left_out import is_hidden, is_left_out
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.embedder.sources.mixed_folders import unread_shards, without_descriptions

_ENVIRONMENT = (
    "Check the bucket's name, the network and your credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,"
    " and AWS_ENDPOINT_URL for a server of your own; for gs:// GOOGLE_APPLICATION_CREDENTIALS."
)


def open_remote(place: str, options: SourceOptions) -> Source:
    """List the images of a bucket.

    Args:
        place: `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`: a folder, one object, or a pattern with `*` and `?`.
        options: How to read it.

    Returns:
        Of a folder every object with an image's extension, in the order in which a folder on disk would give them; of
        one without images its shards. Other objects are counted.

    Raises:
        InputError: There is no such place, or it can't be listed.
    """
    check_bucket_url(place)
    place = place.rstrip("/")
    infos, base, n_hidden = _candidates(place)
    images = [info for info in infos if is_image_name(info.path)]
    places = [_place(info, base) for info in infos if kind_of(info.path) in IN_FOLDERS or len(infos) == 1]
    shards = without_descriptions([place for place in places if kind_of(place)])
    if shards and not images:
        return open_kind([File(shard.removeprefix(f"{base}/"), shard) for shard in shards], place, options)
    collected = build_listing(_found(images, base, options), options.listed)
    ignored = Counter(format_of(info.path) for info in infos if not is_image_name(info.path))
    listing = Listing(place, collected.images, tuple(collected.repeats), ignored.total(), ignored, n_hidden)
    read = read_places(collected.images["uri"], max_bytes=options.max_bytes)
    if not shards:
        return Source(listing, read)
    return Source(listing, read, unread_shards=unread_shards(base, shards, collected.images["uri"].to_pylist()))


def _candidates(place: str) -> tuple[list[Any], str, int]:
    """Return the objects of a place, the folder that their names begin at, and how many were left out by rule."""
    if glob.has_magic(place) and not _is_name(place):
        base = _fixed_part(place)
        found = [info for info in _list(base) if _matches(_place(info, base), place, hides=False)]
        shown = [info for info in found if _matches(_place(info, base), place)]
        return shown, base, len(found) - len(shown)
    found = _list(place)
    if len(found) == 1 and _place(found[0], place) == place:  # one object
        return found, posixpath.dirname(place), 0
    infos = [info for info in found if not is_left_out(_name(info, place))]
    return infos, place, len(found) - len(infos)


def _list(base: str) -> list[Any]:
    """List the objects at or below a place, in the order of names."""
    from pyarrow.fs import FileSelector

    try:
        system, path = open_file_system(base)
        (info,) = system.get_file_info([path])
        found = [info] if info.is_file else system.get_file_info(FileSelector(path, recursive=True))
    except FileNotFoundError as error:
        raise InputError(f"There is nothing at {base}.", hint=_ENVIRONMENT) from error
    except OSError as error:
        raise InputError(f"{base} can't be listed: {error}.", hint=_ENVIRONMENT) from error
    return sorted((info for info in found if info.is_file), key=lambda info: info.path.split("/"))


def _found(images: Sequence[Any], base: str, options: SourceOptions) -> Iterator[ImageRecord]:
    for info in images:
        name = _name(info, base)
        label = posixpath.basename(posixpath.dirname(name)) or None if options.labels == "folder" else None
        yield ImageRecord(name, _place(info, base), label, info.size, info.mtime_ns)


def _place(info: Any, base: str) -> str:
    return f"{base.partition('://')[0]}://{info.path}"


def _name(info: Any, base: str) -> str:
    return _place(info, base).removeprefix(f"{base}/")


def _matches(place: str, pattern: str, *, hides: bool = True) -> bool:
    """Tell whether each part between slashes matches; a wildcard stands for no name that is left out by rule.

    Args:
        place: An object's.
        pattern: With wildcards.
        hides: False for one that stands for any name.
    """
    parts, patterns = place.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(
        part == one or (fnmatch.fnmatchcase(part, one) and (not hides or one.startswith(".") or not is_hidden(part)))
        for part, one in zip(parts, patterns, strict=True)
    )


def _is_name(place: str) -> bool:
    """Tell whether a place with `[` and no other wildcard is there as it is written, such as a folder `photos [1]`."""
    if "*" in place or "?" in place:
        return False
    from pyarrow.fs import FileType

    try:
        system, path = open_file_system(place)
        return bool(system.get_file_info([path])[0].type != FileType.NotFound)
    except OSError:  # told when it is listed
        return False


def _fixed_part(pattern: str) -> str:
    while glob.has_magic(pattern) and not _is_name(pattern):
        pattern = posixpath.dirname(pattern)
    return pattern

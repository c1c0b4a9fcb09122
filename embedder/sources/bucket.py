"""Folders and shards in buckets, `s3://` and `gs://`, and in data sets of the Hugging Face Hub, `hf://`."""

import fnmatch
import glob
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from frieze.core import InputError, check_bucket_url, open_file_system
from frieze.embedder.images.unsupported_formats import format_of
from frieze.embedder.sources.base import File, Listing, Source, SourceOptions
from frieze.embedder.sources.exclude import is_hidden, is_hidden_path
from frieze.embedder.sources.files import read_uris
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.formats import SHARD_KINDS, file_kind, open_kind
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.embedder.sources.mixed_folders import count_unread_shards, without_sidecars

_ENVIRONMENT = (
    "Check the bucket's name, the network and your credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,"
    " and AWS_ENDPOINT_URL for a server of your own; for gs:// GOOGLE_APPLICATION_CREDENTIALS."
)


_OF_HUB = (
    "Write hf://datasets/USER/NAME, with a folder or pattern below it; a private one needs HF_TOKEN, another server"
    " HF_ENDPOINT."
)


def open_remote(uri: str, options: SourceOptions) -> Source:
    """List the images of a bucket.

    Args:
        uri: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `hf://datasets/USER/NAME/PREFIX`: a folder, one object, or a
            pattern with `*` and `?`.
        options: How to read it.

    Returns:
        For a folder, every object with the extension of an image, in the order of a folder on disk; for a folder
        without images, its shards. Other objects are counted.

    Raises:
        InputError: The URI does not exist or can't be listed.
    """
    check_bucket_url(uri)
    uri = uri.rstrip("/")
    infos, base, n_hidden = _candidates(uri)
    images = [info for info in infos if is_image_name(info.path)]
    uris = [_uri(info, base) for info in infos if file_kind(info.path) in SHARD_KINDS or len(infos) == 1]
    shards = without_sidecars([uri for uri in uris if file_kind(uri)])
    if shards and not images:
        return open_kind([File(shard.removeprefix(f"{base}/"), shard) for shard in shards], uri, options)
    listed = build_listing(_records(images, base, options), options.on_progress)
    ignored = Counter(format_of(info.path) for info in infos if not is_image_name(info.path))
    listing = Listing(uri, listed.images, tuple(listed.duplicates), ignored.total(), ignored, n_hidden)
    read = read_uris(listed.images["uri"], max_bytes=options.max_bytes)
    unread = count_unread_shards(base, shards, listed.images["uri"].to_pylist()) if shards else {}
    return Source(listing, read, has_members=True, unread_shards=unread)


def _candidates(uri: str) -> tuple[list[Any], str, int]:
    """Return the objects of a URI, the folder that their names are relative to, and the number of hidden ones."""
    if glob.has_magic(uri) and not _exists_literally(uri):
        base = _fixed_part(uri)
        matches = [info for info in _list_objects(base) if _matches(_uri(info, base), uri, hides=False)]
        visible = [info for info in matches if _matches(_uri(info, base), uri)]
        return visible, base, len(matches) - len(visible)
    infos = _list_objects(uri)
    if len(infos) == 1 and _uri(infos[0], uri) == uri:  # one object
        return infos, posixpath.dirname(uri), 0
    visible = [info for info in infos if not is_hidden_path(_name(info, uri))]
    return visible, uri, len(infos) - len(visible)


def _list_objects(base: str) -> list[Any]:
    """List the objects at or below a URI, sorted by name."""
    from pyarrow.fs import FileSelector

    try:
        system, path = open_file_system(base)
        (info,) = system.get_file_info([path])
        infos = [info] if info.is_file else system.get_file_info(FileSelector(path, recursive=True))
    except FileNotFoundError as error:
        raise InputError(f"{base} does not exist.", hint=_hint(base)) from error
    except OSError as error:
        raise InputError(f"{base} can't be listed: {error}.", hint=_hint(base)) from error
    return sorted((info for info in infos if info.is_file), key=lambda info: info.path.split("/"))


def _hint(base: str) -> str:
    return _OF_HUB if base.startswith("hf://") else _ENVIRONMENT


def _records(images: Sequence[Any], base: str, options: SourceOptions) -> Iterator[ImageRecord]:
    for info in images:
        name = _name(info, base)
        yield ImageRecord(name, _uri(info, base), options.folder_label(name), info.size, info.mtime_ns)


def _uri(info: Any, base: str) -> str:
    return f"{base.partition('://')[0]}://{info.path}"


def _name(info: Any, base: str) -> str:
    return _uri(info, base).removeprefix(f"{base}/")


def _matches(uri: str, pattern: str, *, hides: bool = True) -> bool:
    """Return whether each part between slashes matches; a wildcard matches no hidden name.

    Args:
        uri: URI of an object.
        pattern: URI with wildcards.
        hides: False to let wildcards match hidden names too.
    """
    parts, patterns = uri.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(
        part == one or (fnmatch.fnmatchcase(part, one) and (not hides or one.startswith(".") or not is_hidden(part)))
        for part, one in zip(parts, patterns, strict=True)
    )


def _exists_literally(uri: str) -> bool:
    """Return whether a URI with `[` and no other wildcard exists literally, such as a folder `photos [1]`."""
    if "*" in uri or "?" in uri:
        return False
    from pyarrow.fs import FileType

    try:
        system, path = open_file_system(uri)
        return bool(system.get_file_info([path])[0].type != FileType.NotFound)
    except OSError:  # reported when it is listed
        return False


def _fixed_part(pattern: str) -> str:
    while glob.has_magic(pattern) and not _exists_literally(pattern):
        pattern = posixpath.dirname(pattern)
    return pattern

"""Folders that hold both images and shards: the images are embedded, and the shards are told, or asked about."""

import glob
import os
import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from frieze.core import InputError, counted
from frieze.embedder.sources.files import to_uri
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.formats import IN_FOLDERS, KINDS, kind_of
from frieze.embedder.sources.tables.read import read_header

_ARCHIVES = ("tar", "zip", "tfrecord")
_MADE_HERE = ("features.json", "index.json", "head.json")
"""What lies in a folder that Frieze made; the Parquet files in it are no shards."""


_METADATA = ("metadata.csv", "metadata.jsonl")
"""What Hugging Face's datasets call a table of the images in a folder."""


def unread_metadata(paths: Iterable[str]) -> tuple[str, ...]:
    """Say what to type where tables of images lie beside these: their columns are not read with the folder."""
    found = [path for path in paths if posixpath.basename(path).lower() in _METADATA and _names_files(path)]
    if not found:
        return ()
    more = f" and {len(found) - 1:,} more like it" if len(found) > 1 else ""
    note = (
        f"{found[0]}{more} has labels or other columns of the images beside it, which are not read with the folder;"
        f" to have them: frieze embed {shlex.quote(found[0])} --out OUT"
    )
    return (note,)


def _names_files(path: str) -> bool:
    try:
        return "file_name" in read_header(to_uri(path))
    except InputError:
        return False


def may_hold_shards(folder: str) -> bool:
    """Tell whether a folder is worth a look: it is none of those that Frieze makes."""
    return not any(os.path.exists(f"{folder}/{name}") for name in _MADE_HERE)


def shards_among(places: Iterable[str]) -> list[str]:
    """Give those of some paths or URLs that are shards by their names, sorted."""
    others = (place for place in places if not is_image_name(place))
    return sorted(without_descriptions([place for place in others if kind_of(place) in IN_FOLDERS]))


def without_descriptions(places: Sequence[str]) -> list[str]:
    """Leave out each Parquet file that stands beside an archive of its name: img2dataset writes what is in it so.

    >>> without_descriptions(["/d/00000.tar", "/d/00000.parquet", "/d/1.parquet"])
    ['/d/00000.tar', '/d/1.parquet']
    """
    archives = {posixpath.splitext(place)[0] for place in places if kind_of(place) in _ARCHIVES}
    return [place for place in places if not (kind_of(place) == "parquet" and posixpath.splitext(place)[0] in archives)]


def unread_shards(base: str, shards: Sequence[str], images: Sequence[str]) -> dict[str, int]:
    """Count the shards that lie among images, and so are not read.

    Args:
        base: Path or URL of the folder.
        shards: Those below it.
        images: Those below it, at least one.

    Returns:
        How many a glob would find, by glob.

    Raises:
        InputError: There are more shards than images: it is not clear what is meant. Zip archives, which may hold
            anything, do not count.
    """
    globs = Counter(_glob(base, place, _shard_ending(place)) for place in shards)
    if sum(kind_of(place) != "zip" for place in shards) > len(images):
        both = f"{counted(len(images), 'image')} and {counted(len(shards), 'shard')}"
        alone = _glob(base, images[0], posixpath.splitext(images[0])[1])
        raise InputError(
            f"{base} holds {both}, and only one kind can be embedded at a time.",
            hint=f"Give the shards: {' or '.join(map(shlex.quote, globs))}, or the images alone: {shlex.quote(alone)}",
        )
    return dict(globs)


def _shard_ending(place: str) -> str:
    """Give the part of a shard's name that says what it is, with wildcards for its numbers.

    >>> _shard_ending("/s/00000.tar"), _shard_ending("/s/a.tfrecord-00000-of-00010")
    ('.tar', '.tfrecord-*-of-*')
    """
    found = KINDS[str(kind_of(place))].names.search(place.lower())
    return re.sub(r"\d+", "*", place[found.start() :] if found else place)


def _glob(base: str, place: str, ending: str) -> str:
    """Give a glob that finds a place and all that end alike at its depth.

    >>> _glob("/s", "/s/in/0.tar", ".tar"), _glob("s3://b", "s3://b/x-0-of-1", "/x-*-of-*")
    ('/s/*/*.tar', 's3://b/x-*-of-*')
    """
    depth = place[len(base) + 1 :].count("/")
    return glob.escape(base) + "/*" * depth + (ending if ending.startswith("/") else f"/*{ending}")

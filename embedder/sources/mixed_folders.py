"""Folders that hold both images and shards: the images are embedded, and the shards are reported."""

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
from frieze.embedder.sources.formats import KINDS, SHARD_KINDS, file_kind
from frieze.embedder.sources.tables.read import read_header

_ARCHIVES = ("tar", "zip", "tfrecord")
_OUTPUT_FILES = ("features.json", "index.json", "head.json")
"""Files that mark the output folders of Frieze, whose Parquet files are no shards."""


_METADATA = ("metadata.csv", "metadata.jsonl")
"""Tables of the images in a folder, as in Hugging Face datasets (ImageFolder)."""


def note_unread_metadata(paths: Iterable[str]) -> tuple[str, ...]:
    """Return a note about tables of labels and columns beside the images: they are not read with the folder."""
    tables = [path for path in paths if posixpath.basename(path).lower() in _METADATA and _names_files(path)]
    if not tables:
        return ()
    more = f" and {len(tables) - 1:,} more like it" if len(tables) > 1 else ""
    note = (
        f"{tables[0]}{more} has labels or other columns of the images beside it, which are not read with the folder;"
        f" to have them: frieze embed {shlex.quote(tables[0])} --out OUT"
    )
    return (note,)


def _names_files(path: str) -> bool:
    try:
        return "file_name" in read_header(to_uri(path))
    except InputError:
        return False


def may_hold_shards(folder: str) -> bool:
    """Return whether a folder can hold shards: it is no output folder of Frieze."""
    is_tfds = os.path.exists(f"{folder}/dataset_info.json")  # whose features.json is another
    return is_tfds or not any(os.path.exists(f"{folder}/{name}") for name in _OUTPUT_FILES)


def find_shards(paths: Iterable[str]) -> list[str]:
    """Return the paths or URLs that are shards by their names, sorted."""
    others = (path for path in paths if not is_image_name(path))
    return sorted(without_sidecars([path for path in others if file_kind(path) in SHARD_KINDS]))


def without_sidecars(paths: Sequence[str]) -> list[str]:
    """Drop Parquet files beside an archive of the same name: img2dataset writes such sidecars with the metadata.

    >>> without_sidecars(["/d/00000.tar", "/d/00000.parquet", "/d/1.parquet"])
    ['/d/00000.tar', '/d/1.parquet']
    """
    archives = {posixpath.splitext(path)[0] for path in paths if file_kind(path) in _ARCHIVES}
    return [path for path in paths if not (file_kind(path) == "parquet" and posixpath.splitext(path)[0] in archives)]


def count_unread_shards(base: str, shards: Sequence[str], images: Sequence[str]) -> dict[str, int]:
    """Count the shards in a folder of images; they are not read.

    Args:
        base: Path or URL of the folder.
        shards: Shards below it.
        images: Images below it, at least one.

    Returns:
        Glob -> number of shards that it matches.

    Raises:
        InputError: The folder is ambiguous: it has more shards than images. Zip archives, which may hold anything,
            do not count.
    """
    globs = Counter(_glob(base, path, _shard_ending(path)) for path in shards)
    if sum(file_kind(path) != "zip" for path in shards) > len(images):
        both = f"{counted(len(images), 'image')} and {counted(len(shards), 'shard')}"
        alone = _glob(base, images[0], posixpath.splitext(images[0])[1])
        raise InputError(
            f"{base} holds {both}, and only one kind can be embedded at a time.",
            hint=f"Give the shards: {' or '.join(map(shlex.quote, globs))}, or the images alone: {shlex.quote(alone)}",
        )
    return dict(globs)


def _shard_ending(path: str) -> str:
    """Return the ending of a shard's name that tells its kind, with wildcards for numbers.

    >>> _shard_ending("/s/00000.tar"), _shard_ending("/s/a.tfrecord-00000-of-00010")
    ('.tar', '.tfrecord-*-of-*')
    """
    ending = KINDS[str(file_kind(path))].pattern.search(path.lower())
    return re.sub(r"\d+", "*", path[ending.start() :] if ending else path)


def _glob(base: str, path: str, ending: str) -> str:
    """Return a glob that matches a path and all paths of the same depth and ending.

    >>> _glob("/s", "/s/in/0.tar", ".tar"), _glob("s3://b", "s3://b/x-0-of-1", "/x-*-of-*")
    ('/s/*/*.tar', 's3://b/x-*-of-*')
    """
    depth = path[len(base) + 1 :].count("/")
    return glob.escape(base) + "/*" * depth + (ending if ending.startswith("/") else f"/*{ending}")

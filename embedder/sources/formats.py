"""The table of file formats that hold or list many images: archives, Parquet, manifests, lists of paths."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from frieze.core import InputError
from frieze.embedder.sources.archives.arrow_file import open_arrow, read_arrow_row
from frieze.embedder.sources.archives.parquet import open_parquet, read_row
from frieze.embedder.sources.archives.stacks import open_stacks, read_stacked
from frieze.embedder.sources.archives.tar import open_tar, read_member
from frieze.embedder.sources.archives.tfrecord import open_tfrecord, read_record
from frieze.embedder.sources.archives.zip_archive import open_zip, read_zipped
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.tables.database import open_database, read_queried
from frieze.embedder.sources.tables.manifest import open_manifest
from frieze.embedder.sources.tables.path_list import open_list


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        title: Its name in messages, plural.
        pattern: Regular expression for the names of its files, in lower case.
        open: Lists all images of files of this kind: takes the files, the source as the user typed it, and options.
        read: Reads one image: takes the file's URI and what follows it in the image's URI; None where each image
            has a URI of its own.
    """

    title: str
    pattern: re.Pattern[str]
    open: Callable[[Sequence[File], str, SourceOptions], Source]
    read: Callable[[str, str], bytes] | None = None


_COMPRESSED = r"(\.(gz|bz2|xz|zst|lz4))?$"  # recognized by name, so that each kind can explain how to decompress it

KINDS: dict[str, Kind] = {
    "tar": Kind("tar archives", re.compile(rf"\.(tar{_COMPRESSED}|(tgz|tbz2?|txz|tzst)$)"), open_tar, read_member),
    "tfrecord": Kind(
        "TFRecord files",
        # TensorFlow's own scripts write train-00000-of-01024; a checkpoint's variables.data-00000-of-00001 is none.
        re.compile(rf"\.(tfrecords?|tfrec)(-\d+-of-\d+)?{_COMPRESSED}|(^|/)[^/.]+-\d+-of-\d+$"),
        open_tfrecord,
        read_record,
    ),
    "zip": Kind("zip archives", re.compile(r"\.zip$"), open_zip, read_zipped),
    "stack": Kind(
        "files of arrays", re.compile(r"\.(npy(\.gz)?|npz|h5|hdf5)$|idx[34]-ubyte(\.gz)?$"), open_stacks, read_stacked
    ),
    "parquet": Kind("Parquet files", re.compile(r"\.parquet$"), open_parquet, read_row),
    "arrow": Kind("Arrow files", re.compile(r"\.arrow$"), open_arrow, read_arrow_row),
    "csv": Kind("CSV manifests", re.compile(r"\.(csv|tsv)$"), open_manifest),
    "jsonl": Kind("JSONL manifests", re.compile(r"\.(jsonl|ndjson)$"), open_manifest),
    "database": Kind("databases", re.compile(r"\.(db|sqlite3?|duckdb)$"), open_database, read_queried),
    "list": Kind("lists of paths", re.compile(r"\.(txt|lst)$"), open_list),
}
"""All kinds; the first match wins."""

SHARD_KINDS = ("tar", "zip", "tfrecord", "parquet", "arrow")
"""Kinds of the shards that a folder without image files may hold."""


@functools.lru_cache(1024)  # images of one folder or archive ask for it again and again
def file_kind(name: str) -> str | None:
    """Return the kind of a file by its name; None for images and all other files.

    >>> file_kind("a/00000.TAR"), file_kind("photo.jpg")
    ('tar', None)
    """
    return next((kind for kind, one in KINDS.items() if one.pattern.search(name.lower())), None)


def open_kind(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List all images of some files, all of one kind.

    Raises:
        InputError: The files are of several kinds, or one can't be read.
    """
    kinds = {str(file_kind(file.name)) for file in files}
    if len(kinds) > 1:
        titles = " and ".join(sorted(KINDS[kind].title for kind in kinds))
        raise InputError(
            f"{source} holds {titles}.", hint="Give one kind at a time, for example with a glob: 'dir/*.tar'."
        )
    return KINDS[kinds.pop()].open(files, source, options)

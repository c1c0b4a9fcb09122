"""Files that hold or name many images: a table of their kinds."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from frieze.core import InputError
from frieze.embedder.sources.archives.parquet import open_parquet, read_row
from frieze.embedder.sources.archives.tar import open_tar, read_member
from frieze.embedder.sources.archives.tfrecord import open_tfrecord, read_record
from frieze.embedder.sources.archives.zip_archive import open_zip, read_zipped
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.tables.manifest import open_manifest
from frieze.embedder.sources.tables.path_list import open_list


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        what: What it is called in messages.
        names: What its name looks like, in small letters.
        open: Lists all images of some files of this kind: takes the files, the source as the user gave it, and how.
        read: Gives one image's bytes: takes the file's place and what follows it in the image's uri; None where the
            uri is the image's own.
    """

    what: str
    names: re.Pattern[str]
    open: Callable[[Sequence[File], str, SourceOptions], Source]
    read: Callable[[str, str], bytes] | None = None


_COMPRESSED = r"(\.(gz|bz2|xz|zst|lz4))?$"  # known by name, so that each kind can say what to do with it

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
    "parquet": Kind("Parquet files", re.compile(r"\.parquet$"), open_parquet, read_row),
    "csv": Kind("CSV manifests", re.compile(r"\.(csv|tsv)$"), open_manifest),
    "jsonl": Kind("JSONL manifests", re.compile(r"\.(jsonl|ndjson)$"), open_manifest),
    "list": Kind("lists of paths", re.compile(r"\.(txt|lst)$"), open_list),
}
"""All kinds; a name is looked up in this order."""

IN_FOLDERS = ("tar", "zip", "tfrecord", "parquet")
"""Kinds that a folder without images of its own may be made of."""


def kind_of(name: str) -> str | None:
    """Tell a file's kind by its name; None for an image or anything else.

    >>> kind_of("a/00000.TAR"), kind_of("photo.jpg")
    ('tar', None)
    """
    return next((kind for kind, one in KINDS.items() if one.names.search(name.lower())), None)


def open_kind(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List all images of some files, all of one kind.

    Raises:
        InputError: They are of several kinds, or one can't be used.
    """
    kinds = {str(kind_of(file.name)) for file in files}
    if len(kinds) > 1:
        found = " and ".join(sorted(KINDS[kind].what for kind in kinds))
        raise InputError(
            f"{source} holds {found}.", hint="Give one kind at a time, for example with a glob: 'dir/*.tar'."
        )
    return KINDS[kinds.pop()].open(files, source, options)

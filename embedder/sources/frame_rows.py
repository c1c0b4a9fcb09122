"""Makes a row of each frame of the animations and TIFF files in archives and buckets, whose bytes are read for that."""

import dataclasses
import io
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from frieze.core import ImageError, Rows
from frieze.embedder.sources.base import Content, Source
from frieze.embedder.sources.frames import SEVERAL, FrameRule, list_pages, read_pages
from frieze.embedder.sources.listing import deduplicate_ids
from frieze.features import free_names

_FILE = "file"
"""The column that names a frame's file, as in a folder."""


def with_frames(source: Source, rule: FrameRule) -> Source:
    """Replace each file of several pictures by its frames.

    Args:
        source: Images that are files with names; those that may hold several pictures are read once.
        rule: Which frames are rows.

    Returns:
        The source: a frame's id is that of its file and its number, and the column `file` names the file. A file that
        can't be read stays as it is.
    """
    images = source.listing.images
    suffixes = [_suffix(uri) for uri in images["uri"].to_pylist()]
    candidates = (
        np.flatnonzero([suffix in SEVERAL for suffix in suffixes]) if rule.seconds is None else np.empty(0, int)
    )
    names: list[Sequence[str]] = [("",)] * len(images)
    for row, content in zip(candidates.tolist(), source.read(candidates), strict=True):
        if not isinstance(content, ImageError):
            names[row] = list_pages(io.BytesIO(content), rule) or ("",)
    owners = np.repeat(np.arange(len(images)), [len(one) for one in names])
    if len(owners) == len(images):
        return source
    flat = list(itertools.chain.from_iterable(names))
    table = _to_rows(images.take(owners), flat)
    kept, repeated = deduplicate_ids(table)
    failures = (*source.listing.failures, *repeated)
    listing = dataclasses.replace(source.listing, images=table.take(kept), failures=failures)
    reader = _Reader(source, owners[kept], [flat[row] for row in kept.tolist()])
    return dataclasses.replace(source, listing=listing, read=reader.read)


def _suffix(uri: str) -> str:
    return os.path.splitext(uri)[1].lower()


def _to_rows(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the rows of files as rows of their frames; an empty name is a file of one picture."""
    columns = {free: rows[name] for name, free in free_names(rows.column_names, [_FILE]).items()}
    for column in ("id", "uri"):
        pairs = zip(rows[column].to_pylist(), names, strict=True)
        columns[column] = pa.array([f"{value}/{name}" if name else value for value, name in pairs], pa.string())
    files = [file if name else None for file, name in zip(rows["id"].to_pylist(), names, strict=True)]
    return pa.table(columns | {_FILE: pa.array(files, pa.string())})


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads frames: those of one file that follow each other share its bytes."""

    source: Source
    owners: Rows
    names: Sequence[str]

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each frame, as `Source.read` does."""
        files = np.unique(self.owners[rows])
        by_file = itertools.groupby(rows.tolist(), key=lambda row: int(self.owners[row]))
        for content, (_, of_file) in zip(self.source.read(files), by_file, strict=True):
            names = [self.names[row] for row in of_file]
            if isinstance(content, ImageError) or names == [""]:
                yield from [content] * len(names)
            else:
                yield from read_pages(content, names)

"""Matches images by file name alone, whatever their folders."""

import itertools
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.unicode_text import normalize_names

_MAX_FILES = 100_000
"""Most files that are searched: a folder with more may be a whole disk."""


def match_by_name(
    names: pa.ChunkedArray, others: pa.ChunkedArray, *, uri: str, hint: str
) -> tuple[pa.ChunkedArray, str] | None:
    """Match paths by file name or, where none match, by file name without extension.

    Args:
        names: Text [n].
        others: Text [m].
        uri: The file that refers to images, for the message.
        hint: Hint for ambiguous names.

    Returns:
        For each name the number of its match [n], null for none, and a description of what was compared; None if
        nothing matches.

    Raises:
        InputError: Two matched paths share a name.
    """
    for ending, how in ((r"", "file name"), (r"\.[^.]*$", "file name without its extension")):
        keys, other_keys = _to_names(names, ending), _to_names(others, ending)
        at = pc.index_in(keys, other_keys)
        if pc.any(at.is_valid()).as_py():
            for paths, these, of in ((names, keys, other_keys), (others, other_keys, keys)):
                _check_unique(paths, these, of, uri=uri, hint=hint)
            return at, how
    return None


def _to_names(paths: pa.ChunkedArray, ending: str) -> pa.ChunkedArray:
    """Remove folders, with Windows separators too, and the ending."""
    names = pc.replace_substring_regex(normalize_names(paths), r"^.*[/\\]", "")
    return pc.replace_substring_regex(names, ending, "") if ending else names


def _check_unique(
    paths: pa.ChunkedArray, names: pa.ChunkedArray, others: pa.ChunkedArray, *, uri: str, hint: str
) -> None:
    counts = names.filter(pc.is_in(names, others)).value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        one, other = paths.filter(pc.equal(names, repeated[0]))[:2].to_pylist()
        raise InputError(f"{uri} refers to images by file name, and {one} and {other} share one.", hint=hint)


def images_below(folder: str) -> list[str]:
    """Return the sorted paths of the images below a folder, by extension; none where there are too many files."""
    paths = list(itertools.islice(_walk(folder), _MAX_FILES + 1))
    if len(paths) > _MAX_FILES:
        return []
    return sorted(path for path in paths if is_image_name(path))


def _walk(folder: str) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (f"{above}/{name}" for name in names if not name.startswith("."))

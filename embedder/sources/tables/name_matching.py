"""Images that are named by their file's name alone, wherever they lie."""

import itertools
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.spelling import to_plain_texts

_MOST_FILES = 100_000
"""So many files are looked through at most; a folder of more is somebody's whole disk."""


def match_by_name(
    names: pa.ChunkedArray, others: pa.ChunkedArray, *, place: str, hint: str
) -> tuple[pa.ChunkedArray, str] | None:
    """Match paths by the name of the file, or where no two have one of these in common, by that without its ending.

    Args:
        names: Text [n].
        others: Text [m].
        place: The file that names images so, for the message.
        hint: What to type where two have one name.

    Returns:
        For each name the number of the other that is matched [n], null where there is none, and in words by what they
        were matched; None where nothing is.

    Raises:
        InputError: Two that are matched have one name.
    """
    for ending, how in ((r"", "file name"), (r"\.[^.]*$", "file name without its ending")):
        keys, found = _to_names(names, ending), _to_names(others, ending)
        at = pc.index_in(keys, found)
        if pc.any(at.is_valid()).as_py():
            for paths, these, of in ((names, keys, found), (others, found, keys)):
                _check_unique(paths, these, of, place=place, hint=hint)
            return at, how
    return None


def _to_names(paths: pa.ChunkedArray, ending: str) -> pa.ChunkedArray:
    """Cut folders off, also those of Windows' paths, and the ending."""
    names = pc.replace_substring_regex(to_plain_texts(paths), r"^.*[/\\]", "")
    return pc.replace_substring_regex(names, ending, "") if ending else names


def _check_unique(
    paths: pa.ChunkedArray, names: pa.ChunkedArray, others: pa.ChunkedArray, *, place: str, hint: str
) -> None:
    counts = names.filter(pc.is_in(names, others)).value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        one, other = paths.filter(pc.equal(names, repeated[0]))[:2].to_pylist()
        raise InputError(f"{place} tells images by their file's name, and {one} and {other} have one.", hint=hint)


def images_below(folder: str) -> list[str]:
    """Give the paths of the images below a folder, by their names, in order; none where there are too many files."""
    found = list(itertools.islice(_walk(folder), _MOST_FILES + 1))
    if len(found) > _MOST_FILES:
        return []
    return sorted(path for path in found if is_image_name(path))


def _walk(folder: str) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (f"{above}/{name}" for name in names if not name.startswith("."))

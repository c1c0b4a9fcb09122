"""Names that are one to a reader and not to a computer: accents as one sign or two, blanks around, Windows' slashes.

macOS writes `é` as two signs (Unicode's NFD), nearly all else as one (NFC).
"""

import functools
import os
import unicodedata
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import is_remote
from frieze.embedder.sources.files import to_path, to_uri

HOW = "blanks around them, accents as one sign or two, or \\ for /"
"""In what spellings of a name may differ, for messages."""


def to_plain(name: str) -> str:
    r"""Write a name in the one form of all its spellings.

    >>> to_plain(" Cafe\u0301.jpg") == "Caf\u00e9.jpg"
    True
    """
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name).strip()


def to_plain_texts(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write a column of names in the same form; a name of blanks alone is null."""
    plain = pc.utf8_trim_whitespace(pc.utf8_normalize(texts, "NFC"))
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, plain.type), plain)


def _to_keys(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(to_plain_texts(paths), "\\", "/")


def match_spellings(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Match ids to others as they are written, and those left by what they mean.

    Args:
        ids: Text [n], each once.
        others: Text [m], each once.

    Returns:
        For each id the number of the other [n], null where there is none; and how many are written otherwise there.
    """
    at = pc.index_in(ids, others)
    keys, found = _to_keys(ids), _to_keys(others)
    taken = pc.is_in(pa.array(range(len(others)), pa.int32()), at.combine_chunks())
    left = pc.if_else(taken, pa.scalar(None, pa.string()), found)
    both = pc.coalesce(at, pc.index_in(keys, left, skip_nulls=True))
    return both, at.null_count - both.null_count


def finder_of_spellings() -> Callable[[str], str | None]:
    """Return what finds a file on disk by its uri, however its name and those of the folders above are written.

    It gives the uri of the file, None where there is none or are two. A folder is listed once.
    """

    @functools.cache
    def names_in(folder: str) -> dict[str, str | None]:
        names: dict[str, str | None] = {}
        try:
            for name in os.listdir(folder):
                plain = to_plain(name)
                names[plain] = None if plain in names else name
        except OSError:
            pass
        return names

    @functools.cache
    def find_folder(path: str) -> str | None:
        return path if os.path.isdir(path) else find(path)

    def find(path: str) -> str | None:
        above, name = os.path.split(path)
        folder = find_folder(above) if name else None
        found = None if folder is None else names_in(folder).get(to_plain(name))
        return None if folder is None or found is None else os.path.join(folder, found)

    def find_uri(uri: str) -> str | None:
        if is_remote(uri):
            return None
        path = os.fsdecode(to_path(uri))
        found = find(path) or find(os.path.normpath(path.replace("\\", "/")))
        return None if found is None else to_uri(found)

    return find_uri


def with_plain_labels(images: Any) -> Any:
    """Write the labels of a listing in the one form of all their spellings."""
    return images.set_column(images.column_names.index("label"), "label", to_plain_texts(images["label"]))

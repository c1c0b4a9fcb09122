"""Names that are one to a reader and not to a computer: with accents as one sign or two, or blanks around them.

macOS writes `é` as two signs (Unicode's NFD), nearly all else as one (NFC).
"""

import functools
import os
import unicodedata
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from embedder.sources.places import to_path, to_uri
from features import is_remote

HOW = "blanks around them, or accents as one sign or two"
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


def match_spellings(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Match ids to others as they are written, and those left by what they mean.

    Args:
        ids: Text [n], each once.
        others: Text [m], each once.

    Returns:
        For each id the number of the other [n], null where there is none; and how many are written otherwise there.
    """
    at = pc.index_in(ids, others)
    taken = pc.is_in(pa.array(range(len(others)), pa.int32()), at.combine_chunks())
    left = pc.if_else(taken, pa.scalar(None, pa.string()), to_plain_texts(others))
    found = pc.index_in(to_plain_texts(ids), left, skip_nulls=True)
    both = pc.coalesce(at, found)
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
        found = None if is_remote(uri) else find(os.fsdecode(to_path(uri)))
        return None if found is None else to_uri(found)

    return find_uri


def with_plain_labels(images: Any) -> Any:
    """Write the labels of a listing in the one form of all their spellings."""
    return images.set_column(images.column_names.index("label"), "label", to_plain_texts(images["label"]))

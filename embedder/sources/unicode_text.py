"""Unicode: names in one normal form, and text files as UTF-8.

macOS stores `é` as two code points (NFD), nearly all other systems as one (NFC); blanks and slashes differ too.
"""

import codecs
import functools
import os
import unicodedata
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import is_remote
from frieze.embedder.sources.files import to_path, to_uri

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

VARIATIONS = "blanks around them, accents as one sign or two, or \\ for /"
"""Differences between spellings of one name, for messages."""


def normalize_name(name: str) -> str:
    r"""Normalize a name: Unicode NFC, without blanks around it.

    >>> normalize_name(" Cafe\u0301.jpg") == "Caf\u00e9.jpg"
    True
    """
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name).strip()


def normalize_names(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Normalize a column of names; a blank name is null."""
    plain = pc.utf8_trim_whitespace(pc.utf8_normalize(texts, "NFC"))
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, plain.type), plain)


def _to_keys(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(normalize_names(paths), "\\", "/")


def match_normalized(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Match ids exactly, and the remaining ones by their normalized spelling.

    Args:
        ids: Text [n], each once.
        others: Text [m], each once.

    Returns:
        For each id the number of its match [n], null for none; and the number of matches that are spelled differently.
    """
    at = pc.index_in(ids, others)
    keys, other_keys = _to_keys(ids), _to_keys(others)
    taken = pc.is_in(pa.array(range(len(others)), pa.int32()), at.combine_chunks())
    left = pc.if_else(taken, pa.scalar(None, pa.string()), other_keys)
    both = pc.coalesce(at, pc.index_in(keys, left, skip_nulls=True))
    return both, at.null_count - both.null_count


def normalized_file_finder() -> Callable[[str], str | None]:
    """Return a function that finds a file on disk by its URI, whatever the Unicode form of its names and folders.

    The function returns the URI of the file; None for none or several. Each folder is listed once.
    """

    @functools.cache
    def names_in(folder: str) -> dict[str, str | None]:
        names: dict[str, str | None] = {}
        try:
            for name in os.listdir(folder):
                plain = normalize_name(name)
                names[plain] = None if plain in names else name
        except (OSError, ValueError):  # a ValueError: NUL in a name
            pass
        return names

    @functools.cache
    def find_folder(path: str) -> str | None:
        return path if os.path.isdir(path) else find(path)

    def find(path: str) -> str | None:
        above, name = os.path.split(path)
        folder = find_folder(above) if name else None
        actual = None if folder is None else names_in(folder).get(normalize_name(name))
        return None if folder is None or actual is None else os.path.join(folder, actual)

    def find_uri(uri: str) -> str | None:
        if is_remote(uri):
            return None
        path = os.fsdecode(to_path(uri))
        match = find(path) or find(os.path.normpath(path.replace("\\", "/")))
        return None if match is None else to_uri(match)

    return find_uri


def with_normalized_labels(images: Any) -> Any:
    """Normalize the labels of a listing."""
    return images.set_column(images.column_names.index("label"), "label", normalize_names(images["label"]))


def to_utf8(data: bytes) -> bytes:
    """Convert a text file to UTF-8 without a byte order mark; without a mark the bytes stay as they are.

    Windows writes a mark before UTF-8, and PowerShell redirects output as UTF-16.

    >>> to_utf8("owl".encode("utf-16")), to_utf8("owl".encode("utf-8-sig")), to_utf8(b"owl")
    (b'owl', b'owl', b'owl')
    """
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)

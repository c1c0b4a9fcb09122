"""A folder that lists itself: its JSON file has the sha256 of every other file in it, and of its own text."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from frieze.core.errors import FeatureFileError
from frieze.core.storage.atomic_files import hash_file, json_text, write_text
from frieze.core.storage.bucket_path import TablePath

FILES = "files"
"""Field with the sha256 (hex) of each file of the folder, by its path in it."""

_DIGEST = "sha256"
_BLANK = "0" * 64  # stands in the place of the digest while the text is hashed
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def write_with_checksums(folder: Path, name: str, document: dict[str, Any]) -> None:
    """Write a folder's JSON file, with the hashes of all files that stand in the folder, and of its own text.

    Args:
        folder: The folder; all else in it is written already.
        name: Name of the JSON file.
        document: What it says beside the hashes.
    """
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / name)
    hashes = {path.relative_to(folder).as_posix(): hash_file(path) for path in others}
    write_with_own_checksum(folder / name, document | {FILES: hashes})


def write_with_own_checksum(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file with the hash of its own text."""
    text = json_text(document | {_DIGEST: _BLANK})
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_text(path, text.replace(_line(_BLANK), _line(digest)))


def matches_own_checksum(text: bytes, document: dict[str, Any]) -> bool:
    """Tell whether the text of a JSON file is the one that `write_with_own_checksum` wrote, to the bit."""
    digest = document.get(_DIGEST)
    if not isinstance(digest, str) or not _HEX.fullmatch(digest):
        return False
    before, line, after = text.partition(_line(digest).encode())
    return hashlib.sha256(before + (_line(_BLANK).encode() if line else b"") + after).hexdigest() == digest


def has_checksums(document: dict[str, Any]) -> bool:
    """Tell whether a folder's JSON file lists its files; those of earlier versions do not."""
    return FILES in document or _DIGEST in document


def check_own_checksum(path: TablePath, document: dict[str, Any], *, hint: str) -> None:
    """Refuse a folder's JSON file that is not as it was written, to the bit.

    Args:
        path: The JSON file.
        document: What was read from it; one that lists nothing is not checked.
        hint: What to type when it is broken.

    Raises:
        FeatureFileError: It was altered.
    """
    if has_checksums(document) and not (
        isinstance(document.get(FILES), dict) and matches_own_checksum(path.read_bytes(), document)
    ):
        raise FeatureFileError(f"{path} is not as it was written.", hint=hint)


def find_altered_files(folder: Path, document: dict[str, Any]) -> list[str]:
    """Hash the listed files of a folder again.

    Args:
        folder: The folder.
        document: What its JSON file says, checked by `check_own_checksum`.

    Returns:
        For each file that is not as it was written a sentence that names it; none where nothing is listed.
    """
    known: dict[str, str] = document.get(FILES, {})
    return [said for name, digest in known.items() if (said := _compare(folder / name, digest))]


def check_files(folder: Path, document: dict[str, Any], names: Iterable[str], *, hint: str) -> None:
    """Refuse listed files that are missing or altered, before they are read.

    Args:
        folder: The folder.
        document: What its JSON file says, checked by `check_own_checksum`; where it lists nothing, nothing is checked.
        names: Paths in the folder.
        hint: What to type when one is broken.

    Raises:
        FeatureFileError: One is missing, altered or not listed.
    """
    if not has_checksums(document):
        return
    for name in names:
        said = _compare(folder / name, document[FILES].get(name, ""))
        if said:
            raise FeatureFileError(said, hint=hint)


def _compare(path: Path, digest: str) -> str:
    """Say what is wrong with a file; empty where it is as it was written."""
    try:
        return "" if hash_file(path) == digest else f"{path} is not the file that was stored."
    except OSError as error:
        return f"{path} can't be read: {error.strerror}."


def _line(digest: str) -> str:
    """Give the line of the file's own digest; further inside, lines begin with more spaces."""
    return f'\n "{_DIGEST}": "{digest}"'

"""Checksums of a folder: its JSON file holds the sha256 of every other file in it, and of its own text."""

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
_BLANK = "0" * 64  # a placeholder for the digest while the text is hashed
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def write_with_checksums(folder: Path, name: str, document: dict[str, Any]) -> None:
    """Write a folder's JSON file, with the hashes of all files in the folder and of its own text.

    Args:
        folder: The folder; all its other files are written.
        name: Name of the JSON file.
        document: Its fields beside the hashes.
    """
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / name)
    hashes = {path.relative_to(folder).as_posix(): hash_file(path) for path in others}
    write_with_own_checksum(folder / name, document | {FILES: hashes})


def write_with_own_checksum(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file that holds the hash of its own text."""
    text = json_text(document | {_DIGEST: _BLANK})
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_text(path, text.replace(_line(_BLANK), _line(digest)))


def matches_own_checksum(text: bytes, document: dict[str, Any]) -> bool:
    """Return whether the text of a JSON file is, to the bit, what `write_with_own_checksum` wrote."""
    digest = document.get(_DIGEST)
    if not isinstance(digest, str) or not _HEX.fullmatch(digest):
        return False
    before, line, after = text.partition(_line(digest).encode())
    return hashlib.sha256(before + (_line(_BLANK).encode() if line else b"") + after).hexdigest() == digest


def has_checksums(document: dict[str, Any]) -> bool:
    """Return whether a folder's JSON file lists checksums; those of earlier versions do not."""
    return FILES in document or _DIGEST in document


def check_own_checksum(path: TablePath, document: dict[str, Any], *, hint: str) -> None:
    """Refuse a folder's JSON file that was altered by a single bit.

    Args:
        path: The JSON file.
        document: Its content; one without checksums is not checked.
        hint: What to type when it is altered.

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
        document: The content of its JSON file, checked by `check_own_checksum`.

    Returns:
        A sentence for each missing or altered file; none where nothing is listed.
    """
    hashes: dict[str, str] = document.get(FILES, {})
    return [problem for name, digest in hashes.items() if (problem := _compare(folder / name, digest))]


def check_files(folder: Path, document: dict[str, Any], names: Iterable[str], *, hint: str) -> None:
    """Refuse listed files that are missing or altered, before they are read.

    Args:
        folder: The folder.
        document: The content of its JSON file, checked by `check_own_checksum`; without checksums nothing is checked.
        names: Paths in the folder.
        hint: What to type when one is altered.

    Raises:
        FeatureFileError: One is missing, altered or not listed.
    """
    if not has_checksums(document):
        return
    for name in names:
        problem = _compare(folder / name, document[FILES].get(name, ""))
        if problem:
            raise FeatureFileError(problem, hint=hint)


def _compare(path: Path, digest: str) -> str:
    """Describe what is wrong with a file; empty where its hash is right."""
    try:
        return "" if hash_file(path) == digest else f"{path} is not the file that was stored."
    except OSError as error:
        return f"{path} can't be read: {error.strerror}."


def _line(digest: str) -> str:
    """Return the line of the file's own digest; nested lines begin with more spaces."""
    return f'\n "{_DIGEST}": "{digest}"'

"""The files of a stored index: index.json names the one live generation, and is replaced last, atomically."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core import (
    FeatureFileError,
    TablePath,
    hash_file,
    lock,
    matches_own_checksum,
    read_json_text,
    write_with_own_checksum,
)
from frieze.features import is_features

CONTRACT = 2
INDEX_NAME = "index.json"
FAISS_NAME = "index.faiss"
ROWS_NAME = "rows.parquet"
VECTORS_NAME = "vectors.faiss"
_GENERATION = "generation-"
_DIGEST = "sha256"
_END_BYTES = 1 << 20  # both ends distinguish a file from another one without reading gigabytes
_GENERATION_NAMES = re.compile(r"generation-\d+|\.generation-\d+\.\w+\.(tmp|old)", re.ASCII)
_FILE_NAMES = re.compile(r"index\.json|\.lock|\.index\.json\.\d+\.tmp", re.ASCII)
_STALE_FILE = re.compile(r"\.index\.json\.\d+\.tmp", re.ASCII)
_USE_ANOTHER = "Use another `out`: a new or an empty folder."


def read_document(path: TablePath) -> dict[str, Any]:
    """Read an index's index.json.

    Raises:
        FeatureFileError: It is missing, broken, was edited, or has a contract that this version does not know.
    """
    hint = f"Make the index with: frieze index FEATURES --out {path} --force"
    if is_features(path):
        hint = f"It is a table of features. Make an index of it with: frieze index {path} --out INDEX"
    document, text = read_json_text(path / INDEX_NAME, hint=hint)
    _check_contract(document, path)
    # No field is read before this check: whatever was edited ends in this error and not in a traceback.
    if not _is_as_written(document, text):
        raise FeatureFileError(f"{path / INDEX_NAME} is not as it was written.", hint=hint)
    return document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Replace an index's index.json; from then on its generation is the live one."""
    write_with_own_checksum(path / INDEX_NAME, document)


def _check_contract(document: dict[str, Any], path: TablePath) -> None:
    contract = document.get("contract")
    if document.get("kind", "index") != "index":
        raise FeatureFileError(f"{path / INDEX_NAME} does not belong to an index.", hint="Give the path of an index.")
    if isinstance(contract, int) and contract > CONTRACT:
        raise FeatureFileError(
            f"{path} is an index of contract {contract}; this version reads up to {CONTRACT}.",
            hint="Upgrade with: pip install --upgrade frieze",
        )


def _values_digest(document: dict[str, Any]) -> str:
    """Compute the sha256 of a document's values without the digest itself, as earlier versions wrote it."""
    values = {name: value for name, value in document.items() if name != _DIGEST}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_as_written(document: dict[str, Any], text: bytes) -> bool:
    """Return whether a document and its text are as they were written, and name a folder beside it."""
    is_beside = re.fullmatch(rf"{_GENERATION}\d+", str(document.get("generation")), re.ASCII) is not None
    return is_beside and (matches_own_checksum(text, document) or document.get(_DIGEST) == _values_digest(document))


def read_existing_document(path: Path, *, force: bool) -> dict[str, Any] | None:
    """Read the document of the index at `path`; None where a new index can be written.

    Args:
        path: Folder of an index to write.
        force: Whether an index whose index.json can't be read may be replaced.

    Raises:
        FeatureFileError: `path` is something else, or its index.json can't be read and `force` is not set.
    """
    if not path.exists():
        return None
    has_index = (path / INDEX_NAME).exists()
    if not has_index and path.is_dir() and _has_only_index_files(path):
        return None
    if not has_index:
        raise FeatureFileError(f"{path} already exists and is not an index.", hint=_USE_ANOTHER)
    return None if force and _is_broken_index(path) else read_document(path)


def _is_broken_index(path: Path) -> bool:
    """Return whether a folder was an index: only generations beside an index.json that is broken.

    Raises:
        FeatureFileError: The index.json belongs to something else, or to a later version.
    """
    document: dict[str, Any] = {}
    text = b""
    with contextlib.suppress(FeatureFileError):
        document, text = read_json_text(path / INDEX_NAME, hint="")
    _check_contract(document, path)
    return not _is_as_written(document, text) and _has_only_index_files(path) and any(path.glob(f"{_GENERATION}*"))


def _has_only_index_files(path: Path) -> bool:
    return all(_is_generation(child) or _is_index_file(child) for child in path.iterdir())


def _is_index_file(child: Path) -> bool:
    return _FILE_NAMES.fullmatch(child.name) is not None and child.is_file()


def _is_generation(child: Path) -> bool:
    """Return whether this is a generation, complete or partial: a folder with nothing but an index's files."""
    if not _GENERATION_NAMES.fullmatch(child.name) or child.is_symlink() or not child.is_dir():
        return False
    return all(file.name in {FAISS_NAME, ROWS_NAME, VECTORS_NAME} and file.is_file() for file in child.iterdir())


@contextlib.contextmanager
def lock_for_writing(path: Path) -> Iterator[None]:
    """Lock a folder for writing an index; create it if missing.

    Raises:
        FeatureFileError: Another process writes to it, or the disk can't be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with lock(path):
            yield
    except OSError as error:
        raise FeatureFileError(
            f"{path} can't be written: {error.strerror or error}.",
            hint="Check the folder's permissions and the free space, or use another `out`.",
        ) from error


def next_generation(path: Path) -> Path:
    """Return the folder of the next generation: its number is one above all existing ones."""
    suffixes = [child.name.removeprefix(_GENERATION) for child in path.glob(f"{_GENERATION}*")]
    last = max((int(suffix) for suffix in suffixes if suffix.isdecimal()), default=0)
    return path / f"{_GENERATION}{last + 1}"


def delete_old_generations(path: Path, *, live: str | None) -> None:
    """Delete every generation but the live one, and leftovers of a crashed run; all other files stay.

    A reader that has opened an older generation can continue: its files stay on disk until it closes them.
    """
    for child in list(path.iterdir()):
        if child.name != live and _is_generation(child):
            shutil.rmtree(child, ignore_errors=True)
        elif _STALE_FILE.fullmatch(child.name) and child.is_file():
            child.unlink()


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `size_bytes`, `sha256` and `ends` of each file of a generation: `ends` hashes its first and last MB."""
    return {
        file.name: {"size_bytes": file.stat().st_size, "sha256": hash_file(file), "ends": _hash_ends(file)}
        for file in sorted(folder.iterdir())
    }


def check_files(folder: Path, known: dict[str, dict[str, Any]], *, hint: str) -> None:
    """Refuse a generation that was copied in part or contains another index's files.

    FAISS itself maps an index that lacks its last bytes. Only the ends of a large file are read.

    Raises:
        FeatureFileError: A file is missing, or is not the one that was written.
    """
    for name, written in known.items():
        path = folder / name
        with _translate_read_errors(path, hint=hint):
            size, ends = path.stat().st_size, _hash_ends(path)
        if size != written["size_bytes"]:
            raise FeatureFileError(f"{path} is broken: {size} bytes instead of {written['size_bytes']}.", hint=hint)
        if ends != written["ends"]:
            raise FeatureFileError(f"{path} is not the file that was written there.", hint=hint)


def check_hashes(folder: Path, known: dict[str, dict[str, Any]], *, hint: str) -> None:
    """Refuse a generation with a byte changed anywhere.

    Raises:
        FeatureFileError: A file is not the one that was written.
    """
    for name, written in known.items():
        with _translate_read_errors(folder / name, hint=hint):
            digest = hash_file(folder / name)
        if digest != written["sha256"]:
            raise FeatureFileError(f"{folder / name} is not the file that was written there.", hint=hint)


@contextlib.contextmanager
def _translate_read_errors(path: Path, *, hint: str) -> Iterator[None]:
    """Turn an error of reading a file into one that names it: it is missing, or lies on a bad sector."""
    try:
        yield
    except OSError as error:
        raise FeatureFileError(f"{path} can't be read: {error.strerror or error}.", hint=hint) from error


def _hash_ends(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        file.seek(max(file.tell(), os.fstat(file.fileno()).st_size - _END_BYTES))
        digest.update(file.read())
    return digest.hexdigest()

"""Atomic files: written beside their place, synced and renamed, so that a crash leaves the old or the new file."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from frieze.core.errors import FeatureFileError
from frieze.core.storage.bucket_path import BucketPath, TablePath
from frieze.core.storage.leftovers import (
    locked_temporary_folder,
    temporary_file,
)

T = TypeVar("T")


_HASH_BLOCK_BYTES = 1 << 20


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_file(path: TablePath, write: Callable[[Path], None], *, staging_dir: TablePath | None = None) -> None:
    """Write a file atomically: a reader sees the old or the whole new file, also after a crash or power cut.

    Args:
        path: The file.
        write: Called with a local path to write to.
        staging_dir: Folder of the temporary file, on the same file system; that of `path` when None.

    Raises:
        FeatureFileError: The disk is full or refuses; `path` is the old file, or the whole new one.
    """
    if isinstance(path, BucketPath):
        write_new_file(path, write)
        return
    folder = staging_dir if isinstance(staging_dir, Path) else path.parent
    staging = folder / f".{path.name}.{os.getpid()}.tmp"
    with translate_io_errors(path), temporary_file(staging):
        write(staging)
        sync(staging)
        staging.replace(path)
        sync(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a log that several processes may write, and of which a kill may have torn the last line.

    Args:
        path: The file, created where it is missing.
        line: Without its end; it is on disk when this returns.

    Raises:
        OSError: The file can't be written; a part of the line may be.
    """
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        is_torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        written = b"\n" * is_torn + line + b"\n"
        if file.write(written) != len(written):  # one write: lines of two processes do not mix
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
        if not size:
            sync(path.parent)


def write_new_file(path: TablePath, write: Callable[[Path], None]) -> None:
    """Write and sync a new file that no reader opens before the writer announces it; it is not renamed.

    Raises:
        FeatureFileError: The disk or the bucket refuses.
    """
    with translate_io_errors(path):
        if isinstance(path, Path):
            write(path)
            sync(path)
            return
        with locked_temporary_folder() as folder:
            write(folder / path.name)
            path.upload(folder / path.name)


def write_json(path: TablePath, document: dict[str, Any]) -> None:
    """Write a JSON document atomically, keys sorted."""
    write_text(path, json_text(document))


def json_text(document: dict[str, Any]) -> str:
    """Return the text of a JSON file, keys sorted."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: TablePath, text: str) -> None:
    """Write a text atomically, as UTF-8."""
    write_file(path, lambda staging: _write_bytes(staging, text.encode()))


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def read_json(path: TablePath, *, hint: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FeatureFileError: The file is missing, or holds no JSON object.
    """
    return read_json_text(path, hint=hint)[0]


def read_json_text(path: TablePath, *, hint: str) -> tuple[dict[str, Any], bytes]:
    """Read a JSON object and the bytes it was parsed from: a second read might return a newer file.

    Raises:
        FeatureFileError: The file is missing, or holds no JSON object.
    """
    try:
        text = path.read_bytes()
        document = json.loads(text.decode())
    except FileNotFoundError as error:
        raise FeatureFileError(f"There is no {path}.", hint=hint) from error
    except (OSError, RecursionError, ValueError) as error:
        raise FeatureFileError(f"{path} can't be read: {error}.", hint=hint) from error
    if not isinstance(document, dict):
        raise FeatureFileError(f"{path} holds no JSON object.", hint=hint)
    return document, text


def read_consistent(file: Path, read: Callable[[], T]) -> T:
    """Read a folder, and retry if it was replaced meanwhile, so that the result is of one folder.

    Args:
        file: The folder's JSON file, which differs in a new folder.
        read: Reads the folder.

    Raises:
        Exception: What `read` raises while the folder stays the same.
    """
    while True:
        before = _identity(file)
        try:
            result = read()
        except (FeatureFileError, OSError):
            if _identity(file) == before:
                raise
        else:
            if _identity(file) == before:
                return result


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def hash_file(path: TablePath) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256", _bufsize=_HASH_BLOCK_BYTES).hexdigest()


def sync(path: TablePath) -> None:
    """Flush a file, or a folder's entries, to disk (fsync); a store's answer already implies it."""
    if isinstance(path, BucketPath):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translate_io_errors(path: TablePath) -> Iterator[None]:
    """Translate an OSError of a disk or bucket into an error with a hint.

    Raises:
        FeatureFileError: The disk is full, or it or the bucket refuses.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in _NO_SPACE
        refused = "the folder's permissions" if isinstance(path, Path) else "the bucket's name, region and credentials"
        hint = "Free some space" if full else f"Check {refused}"
        raise FeatureFileError(
            f"{path} can't be written: {error.strerror or error}.",
            hint=f"{hint} and type the same command again; what is stored already is kept.",
        ) from error

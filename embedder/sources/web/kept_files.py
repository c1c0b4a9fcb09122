"""The folder of `--keep`: what was fetched, by hash, and the list of URLs that it came from."""

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

from frieze.core import ImageError, InputError, is_remote

LIST_NAME = "metadata.jsonl"
"""A line a URL: `file_name` below the folder, `url`, `sha256`; `frieze embed FOLDER/metadata.jsonl` reads it too."""

_EXTENSIONS = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
"""Signature -> extension; others have none, and are known by their first bytes."""


class KeptFiles:
    """Fetched images on disk, as `sha256[:2]/sha256.jpg`; threads and runs share the folder.

    Args:
        folder: The folder; made when missing.

    Raises:
        InputError: It can't be made or read.
    """

    def __init__(self, folder: str) -> None:
        if is_remote(folder) or "://" in folder:
            raise InputError(f"{folder} is no folder on disk.", hint="Give `keep` a folder on disk.")
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._list = (self._folder / LIST_NAME).open("ab+", buffering=0)
            self._list.seek(0)
            lines = self._list.readall().split(b"\n")
            if lines[-1]:  # torn by a full disk or a power cut: the list is a manifest, too
                os.ftruncate(self._list.fileno(), self._list.tell() - len(lines[-1]))
        except OSError as error:
            hint = "Give `keep` a folder that you may write to."
            raise InputError(f"{folder} can't be used: {error.strerror}.", hint=hint) from error
        self._ends_torn = False
        self._names = dict(pair for line in lines if (pair := _parse(line)) is not None)
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if hasattr(self, "_list"):
            self._list.close()

    def read(self, url: str) -> bytes | None:
        """Return an image that was kept; None for none, or where its bytes are no longer those."""
        name = self._names.get(url)
        if name is None:
            return None
        try:
            data = (self._folder / name).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == Path(name).stem else None

    def write(self, url: str, data: bytes) -> None:
        """Keep an image.

        Raises:
            ImageError: The disk is full or refuses.
        """
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:2]}/{digest}{_extension(data)}"
        path = self._folder / name
        try:
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                staging = path.with_name(f".{digest}.{os.getpid()}.{threading.get_ident()}.tmp")
                staging.write_bytes(data)
                staging.replace(path)  # not synced: after a power cut the hash tells
            line = json.dumps({"file_name": name, "url": url, "sha256": digest}, ensure_ascii=False).encode()
            with self._lock:
                whole = b"\n" * self._ends_torn + line + b"\n"
                self._ends_torn = self._list.write(whole) < len(whole)  # one write: two processes do not mix
                if self._ends_torn:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                self._names[url] = name
        except OSError as error:
            raise ImageError("read", "not kept", f"{self._folder}: {error}") from error


def _parse(line: bytes) -> tuple[str, str] | None:
    """Return URL and name of a line; None for one that a kill has torn, or that leads out of the folder."""
    try:
        entry = json.loads(line)
        url, name = str(entry["url"]), str(entry["file_name"])
    except (ValueError, LookupError, TypeError):
        return None
    return None if name.startswith("/") or ".." in name.split("/") else (url, name)


def _extension(data: bytes) -> str:
    return next((extension for head, extension in _EXTENSIONS if data.startswith(head)), "")

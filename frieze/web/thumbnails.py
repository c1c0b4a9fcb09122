"""Small pictures of the collection's images: made once, kept in one file of limited size."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from frieze.core import InputError
from frieze.reports.thumbnails import draw

THUMBNAIL_PX = 192
_LIMIT_BYTES = 512 << 20
_KEPT = 0.8
"""What is left of the limit once it is reached: throwing away one by one would be done at every picture."""
_SIZES = ("page_count", "freelist_count", "page_size")


def cache_file() -> Path:
    """Give the file of thumbnails, below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "frieze" / "thumbnails.sqlite"


class Thumbnails:
    """Pictures by image; the oldest go when the file is full.

    Args:
        path: The file of them, made where it is not there. Several processes may use it.
        limit_bytes: What it may take, whichever process fills it.

    Raises:
        InputError: There can't be such a file, or it is another one.
    """

    def __init__(self, path: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        try:
            self._file = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"Small pictures can't be kept in {path}: {error}.",
                hint="Delete that file, or let XDG_CACHE_HOME name a folder that can be written to.",
            ) from error

    def get(self, uri: str, version: str) -> bytes:
        """Give an image's thumbnail as a JPEG, upright.

        Args:
            uri: Where the image is.
            version: What changes with its bytes.

        Raises:
            ImageError: It is gone or broken.
        """
        key = f"{version} {uri}"
        kept = self._find(key)
        if kept is not None:
            return kept
        data = draw(uri, THUMBNAIL_PX)
        with self._lock, _forgiving():
            self._put(key, data)
        return data

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _find(self, key: str) -> bytes | None:
        with self._lock, _forgiving():
            for (data,) in self._file.execute("SELECT data FROM pictures WHERE key = ?", (key,)):
                return bytes(data)
        return None

    def _put(self, key: str, data: bytes) -> None:
        self._file.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", (key, data, time.time()))
        size = self._size_bytes()
        if size > self._limit:
            share = 1 - _KEPT * self._limit / size
            oldest = (
                "SELECT key FROM pictures ORDER BY used, key LIMIT (SELECT CAST(COUNT(*) * ? AS INT) + 1 FROM pictures)"
            )
            self._file.execute(f"DELETE FROM pictures WHERE key IN ({oldest})", (share,))  # noqa: S608

    def _size_bytes(self) -> int:
        """Give the size of the pages in use: SQLite knows it without looking through them."""
        n_pages, n_free, size = (self._file.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
        return int((n_pages - n_free) * size)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=OFF")  # what is lost is made anew
    file.execute("CREATE TABLE IF NOT EXISTS pictures (key TEXT PRIMARY KEY, data BLOB, used REAL)")
    file.execute("SELECT key, data, used FROM pictures LIMIT 1")  # another program's table is told now
    return file


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """Let a full disk, or a file that is broken or held by another process, cost the keeping of a picture alone."""
    with contextlib.suppress(sqlite3.Error):
        yield

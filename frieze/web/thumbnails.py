"""Small pictures of the collection's images: made once, kept in one file of limited size."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from frieze.drawing import draw

THUMBNAIL_PX = 192
_LIMIT_BYTES = 512 << 20
_KEPT = 0.8
"""What is left of the limit once it is reached: throwing away one by one would be done at every picture."""


def cache_file() -> Path:
    """Give the file of thumbnails, below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "frieze" / "thumbnails.sqlite"


class Thumbnails:
    """Pictures by image; those longest unused go when the file is full.

    Args:
        path: The file of them, made where it is not there. Several processes may use it.
        limit_bytes: What all pictures in it may take.
    """

    def __init__(self, path: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")  # what is lost is made anew
        self._file.execute("CREATE TABLE IF NOT EXISTS pictures (key TEXT PRIMARY KEY, data BLOB, used REAL)")
        self._bytes = self._count()

    def get(self, uri: str, version: str) -> bytes:
        """Give an image's thumbnail as a JPEG, upright.

        Args:
            uri: Where the image is.
            version: What changes with its bytes.

        Raises:
            ImageError: It is gone or broken.
        """
        key = f"{version} {uri}"
        with self._lock:
            row = self._file.execute("SELECT data FROM pictures WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return bytes(row[0])
        data = draw(uri, THUMBNAIL_PX)
        with self._lock:
            self._put(key, data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, key: str, data: bytes) -> None:
        with _forgiving():
            line = "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)"
            self._file.execute(line, (key, data, time.time()))
            self._bytes += len(data)
            if self._bytes > self._limit:
                self._throw_away()

    def _throw_away(self) -> None:
        left = int(self._limit * _KEPT)
        newest = "SELECT key, SUM(LENGTH(data)) OVER (ORDER BY used DESC, key) AS size FROM pictures"
        self._file.execute(f"DELETE FROM pictures WHERE key IN (SELECT key FROM ({newest}) WHERE size > ?)", (left,))  # noqa: S608
        self._bytes = self._count()

    def _count(self) -> int:
        return int(self._file.execute("SELECT COALESCE(SUM(LENGTH(data)), 0) FROM pictures").fetchone()[0])


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """Let a full disk or a file that another process holds cost the keeping of a picture, not the picture."""
    with contextlib.suppress(sqlite3.OperationalError):
        yield

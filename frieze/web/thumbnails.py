"""Cache of thumbnails: one SQLite file of limited size, below the user's cache folder."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from frieze.core import InputError
from frieze.reports.thumbnails import draw

THUMBNAIL_PX = 192
_LIMIT_BYTES = 512 << 20
_KEPT = 0.8
"""Share of the limit that is kept once it is reached: evicting one by one would cost time at every picture."""
_SIZES = ("page_count", "freelist_count", "page_size")


def cache_file() -> Path:
    """Return the path of the cache."""
    return platformdirs.user_cache_path("frieze") / "thumbnails.sqlite"


class Thumbnails:
    """Thumbnails by image; the oldest are evicted when the file is full.

    Args:
        path: The cache file, created where it is missing. Several processes may share it.
        limit_bytes: Size limit of the file.

    Raises:
        InputError: The file can't be created, or is no such cache.
    """

    def __init__(self, path: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        try:
            self._connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"Thumbnails can't be stored in {path}: {error}.",
                hint="Delete that file, or set XDG_CACHE_HOME to a writable folder.",
            ) from error

    def get(self, uri: str, version: str) -> bytes:
        """Return an image's thumbnail as a JPEG, upright.

        Args:
            uri: The image's URI.
            version: A text that changes with its bytes.

        Raises:
            ImageError: It is missing or broken.
        """
        key = f"{version} {uri}"
        cached = self._read(key)
        if cached is not None:
            return cached
        data = draw(uri, THUMBNAIL_PX)
        with self._lock, _ignore_sqlite_errors():
            self._write(key, data)
        return data

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _read(self, key: str) -> bytes | None:
        with self._lock, _ignore_sqlite_errors():
            for (data,) in self._connection.execute("SELECT data FROM pictures WHERE key = ?", (key,)):
                return bytes(data)
        return None

    def _write(self, key: str, data: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", (key, data, time.time()))
        size = self._size_bytes()
        if size > self._limit_bytes:
            share = 1 - _KEPT * self._limit_bytes / size
            oldest = (
                "SELECT key FROM pictures ORDER BY used, key LIMIT (SELECT CAST(COUNT(*) * ? AS INT) + 1 FROM pictures)"
            )
            self._connection.execute(f"DELETE FROM pictures WHERE key IN ({oldest})", (share,))  # noqa: S608

    def _size_bytes(self) -> int:
        """Return the size of the pages in use, which SQLite knows without a scan."""
        n_pages, n_free, size = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
        return int((n_pages - n_free) * size)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=OFF")  # a lost thumbnail is drawn again
    file.execute("CREATE TABLE IF NOT EXISTS pictures (key TEXT PRIMARY KEY, data BLOB, used REAL)")
    file.execute("SELECT key, data, used FROM pictures LIMIT 1")  # fails here if it is another program's table
    return file


@contextlib.contextmanager
def _ignore_sqlite_errors() -> Iterator[None]:
    """Ignore a full disk, or a cache file that is broken or locked: the thumbnail is just not cached."""
    with contextlib.suppress(sqlite3.Error):
        yield

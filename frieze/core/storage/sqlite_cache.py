"""A cache of small values in one SQLite file of limited size."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from frieze.core.errors import InputError

_KEPT = 0.8
"""Share of the limit that is kept once it is reached: evicting one by one would cost time at every value."""
_SIZES = ("page_count", "freelist_count", "page_size")
_N_VARIABLES = 500  # of a statement


class SqliteCache:
    """Values by key; the oldest are evicted when the file is full. A full disk or a lock only means no caching.

    Args:
        path: The cache file, created where it is missing. Several processes and threads may share it.
        limit_bytes: Size limit of the file.
        what: What is cached, for the message.

    Raises:
        InputError: The file can't be created, or is no such cache.
    """

    def __init__(self, path: Path, *, limit_bytes: int, what: str) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        try:
            self._connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{what} can't be stored in {path}: {error}.",
                hint="Delete that file, or set XDG_CACHE_HOME to a writable folder.",
            ) from error

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those keys that are cached."""
        keys, values = list(keys), dict[str, bytes]()
        with self._lock, _ignore_sqlite_errors():
            for start in range(0, len(keys), _N_VARIABLES):
                some = keys[start : start + _N_VARIABLES]
                marks = ",".join("?" * len(some))
                values.update(self._connection.execute(f"SELECT key, data FROM pictures WHERE key IN ({marks})", some))  # noqa: S608
        return values

    def put(self, values: dict[str, bytes]) -> None:
        """Cache values."""
        now = time.time()
        rows = [(key, data, now) for key, data in values.items()]
        with self._lock, _ignore_sqlite_errors():
            with self._connection:  # commits, or rolls back
                self._connection.execute("BEGIN")
                self._connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", rows)
            self._evict()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _evict(self) -> None:
        size = self._size_bytes()
        if size <= self._limit_bytes:
            return
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
    file.execute("PRAGMA synchronous=OFF")  # a lost value is computed again
    # Named by the first cache, of thumbnails, whose files users have.
    file.execute("CREATE TABLE IF NOT EXISTS pictures (key TEXT PRIMARY KEY, data BLOB, used REAL)")
    file.execute("SELECT key, data, used FROM pictures LIMIT 1")  # fails here if it is another program's table
    return file


@contextlib.contextmanager
def _ignore_sqlite_errors() -> Iterator[None]:
    """Ignore a full disk, or a cache file that is broken or locked: the value is just not cached."""
    with contextlib.suppress(sqlite3.Error):
        yield

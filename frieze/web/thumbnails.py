"""Cache of thumbnails: one SQLite file of limited size, below the user's cache folder."""

import threading
from pathlib import Path

import platformdirs

from frieze.core import SqliteCache
from frieze.reports.thumbnails import draw

THUMBNAIL_PX = 192
_LIMIT_BYTES = 512 << 20


def cache_file() -> Path:
    """Return the path of the cache."""
    return platformdirs.user_cache_path("frieze") / "thumbnails.sqlite"


class Thumbnails:
    """Thumbnails by image; the oldest are evicted when the file is full.

    Args:
        path: The cache file, created where it is missing. Several processes may share it.
        limit_bytes: Size limit of the file.
        n_together: How many are stored at once; those that are not yet stored are lost with a process that is killed.

    Raises:
        InputError: The file can't be created, or is no such cache.
    """

    def __init__(self, path: Path, *, limit_bytes: int = _LIMIT_BYTES, n_together: int = 1) -> None:
        self._cache = SqliteCache(path, limit_bytes=limit_bytes, what="Thumbnails")
        self._n_together = n_together
        self._drawn: dict[str, bytes] = {}  # not yet stored
        self._lock = threading.Lock()

    def get(self, uri: str, version: str, *, decoding: str = "") -> bytes:
        """Return an image's thumbnail as a JPEG, upright.

        Args:
            uri: The image's URI.
            version: A text that changes with its bytes.
            decoding: As of `draw`.

        Raises:
            ImageError: It is missing or broken, or `version` is a sha256 that its bytes no longer have.
        """
        key = f"{version} {uri}" + "".join(decoding.partition("+")[1:])  # with what else than the version it states
        cached = self._drawn.get(key) or self._cache.get([key]).get(key)
        if cached is not None:
            return cached
        data = draw(uri, THUMBNAIL_PX, sha256=version, decoding=decoding)
        with self._lock:
            self._drawn[key] = data
            if len(self._drawn) >= self._n_together:
                self._store()
        return data

    def close(self) -> None:
        """Store what is left, and close the file."""
        with self._lock:
            self._store()
        self._cache.close()

    def _store(self) -> None:
        self._cache.put(self._drawn)
        self._drawn = {}

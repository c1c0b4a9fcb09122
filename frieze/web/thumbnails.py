"""Cache of thumbnails: one SQLite file of limited size, below the user's cache folder."""

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

    Raises:
        InputError: The file can't be created, or is no such cache.
    """

    def __init__(self, path: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._cache = SqliteCache(path, limit_bytes=limit_bytes, what="Thumbnails")

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
        cached = self._cache.get([key])
        if key in cached:
            return cached[key]
        data = draw(uri, THUMBNAIL_PX, sha256=version, decoding=decoding)
        self._cache.put({key: data})
        return data

    def close(self) -> None:
        """Close the file."""
        self._cache.close()

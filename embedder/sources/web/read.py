"""Reads images by their URIs, those of the web through a pool of threads."""

import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from frieze.core import ImageError, Rows
from frieze.embedder.sources.base import Content
from frieze.embedder.sources.files import map_uris, read_uri
from frieze.embedder.sources.web.fetch_pool import PER_MAIN_HOST, FetchPool, host_of
from frieze.embedder.sources.web.kept_files import KeptFiles
from frieze.embedder.sources.web.options import FetchOptions, is_web

if TYPE_CHECKING:
    from frieze.embedder.sources.web.fetch import Fetcher

READ_AHEAD = 4096
"""Most images requested before they are needed: one that never comes must not hold up those after it."""
_AHEAD_BYTES = 512 << 20
_FIRST_MEAN_BYTES = 128 << 10


class WebReader:
    """`Source.read` for images of which some are of the web.

    Args:
        uris: Arrow column of URIs, one a row of the listing.
        options: How images are fetched; `max_bytes` also limits files.
    """

    def __init__(self, uris: Any, options: FetchOptions) -> None:
        self._uris = uris
        self._options = options
        if options.keep is not None:
            self._web.submit  # noqa: B018  a folder that can't be used is refused now, not at the first image

    def __getstate__(self) -> dict[str, Any]:
        return {"_uris": self._uris, "_options": self._options}  # threads and connections stay here

    @functools.cached_property
    def _web(self) -> "_Web":
        hosts = Counter(host_of(uri) for uri in self._uris.to_pylist() if is_web(uri))
        main = [host for host, n_images in hosts.items() if 2 * n_images >= hosts.total()]
        return _Web(self._options, dict.fromkeys(main, PER_MAIN_HOST))

    def __call__(self, rows: Rows) -> Iterator[Content]:
        """Request all rows at once; yield the content of each."""
        uris = self._uris.take(rows).to_pylist()
        fetched = [self._web.submit(uri) for uri in uris if is_web(uri)]
        return _merge(uris, fetched, map_uris(self._read_file, [uri for uri in uris if not is_web(uri)]))

    def _read_file(self, uri: str) -> Content:
        try:
            return read_uri(uri, max_bytes=self._options.max_bytes)
        except ImageError as error:
            return error

    def fetch(self, url: str) -> bytes:
        """Fetch one image, now.

        Raises:
            ImageError: It can't be fetched.
        """
        content = self._web.submit(url).result()
        if isinstance(content, ImageError):
            raise content
        return content

    def read_ahead(self) -> int:
        """Return how many images to request before they are needed; fewer where they are large."""
        return min(READ_AHEAD, int(_AHEAD_BYTES // self._web.mean_bytes))

    def cancel(self) -> None:
        """Give up all requests."""
        if "_web" in self.__dict__:
            self._web.cancel()


def _merge(uris: Sequence[str], fetched: "Sequence[Future[Content]]", files: Any) -> Iterator[Content]:
    results, others = iter(fetched), iter(files)
    for uri in uris:
        yield next(results).result() if is_web(uri) else next(others)


class _Web:
    """Fetches images, or reads those that were kept."""

    def __init__(self, options: FetchOptions, per_host: Mapping[str, int]) -> None:
        self._fetcher = _open_fetcher(options)
        self._kept = None if options.keep is None else KeptFiles(options.keep)
        self._pool = FetchPool(self._fetch, per_host=per_host)
        self._n_fetched, self._n_bytes = 1, _FIRST_MEAN_BYTES
        self.cancel: Callable[[], None] = self._pool.cancel

    @property
    def mean_bytes(self) -> float:
        """Mean size of an image so far."""
        return self._n_bytes / self._n_fetched

    def submit(self, url: str) -> "Future[Content]":
        """Request an image."""
        kept = None if self._kept is None else self._kept.read(url)
        if kept is None:
            return self._pool.submit(url)
        result: Future[Content] = Future()
        result.set_result(kept)
        return result

    def _fetch(self, url: str, is_stopped: threading.Event) -> bytes:
        data = self._fetcher.fetch(url, is_stopped)
        self._n_fetched += 1
        self._n_bytes += len(data)
        if self._kept is not None:
            self._kept.write(url, data)
        return data


def fetch_image(url: str, options: FetchOptions) -> bytes:
    """Fetch one image for a page; nothing is kept, and no host is given up.

    Raises:
        ImageError: It can't be fetched.
    """
    return _shared_fetcher(options).fetch(url, threading.Event())


def _open_fetcher(options: FetchOptions) -> "Fetcher":
    from frieze.embedder.sources.web.fetch import Fetcher  # urllib3 adds filters of warnings when it is imported

    return Fetcher(options)


_shared_fetcher = functools.lru_cache(4)(_open_fetcher)

"""Fetches one image of the web: follows redirects, tries again, and stops at its limits."""

import random
import threading
import time
import urllib.parse

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError
from urllib3.util import Url, parse_url

from frieze.core import ImageError
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.sources.web.connections import Connections, to_image_error
from frieze.embedder.sources.web.errors import TemporaryError
from frieze.embedder.sources.web.options import FetchOptions

TOTAL_S = 30.0
"""Longest time for one image: all its tries, redirects and waits."""
ATTEMPTS = 3
MAX_REDIRECTS = 5
MAX_WEB_BYTES = 64 << 20
"""Size of the largest image, unless `max_bytes` is another one than the default."""

_FIRST_WAIT_S = 0.5
_CHUNK_BYTES = 64 << 10
_TEMPORARY = frozenset((408, 425, 429, 500, 502, 503, 504))
_DONE = (200, 203)


class Fetcher:
    """Fetches images; threads share it.

    Args:
        options: Which images, from where.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._connections = Connections(allow_private=options.allow_private)
        self._max_bytes = MAX_WEB_BYTES if options.max_bytes == MAX_BYTES else options.max_bytes

    def fetch(self, url: str, is_stopped: threading.Event) -> bytes:
        """Return the bytes of an image, which begin like one.

        Args:
            url: An http or https URL.
            is_stopped: Ends the waits between tries.

        Raises:
            ImageError: It can't be fetched: the last try's reason.
        """
        deadline = time.monotonic() + TOTAL_S
        for attempt in range(1, ATTEMPTS):
            try:
                return self._follow(url, deadline)
            except TemporaryError as error:
                if error.reason == "timeout" and attempt > 1:  # a silent server holds a connection for long
                    raise
                wait_s = max(error.wait_s, _FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311
                if time.monotonic() + wait_s >= deadline or is_stopped.wait(wait_s):
                    raise
        return self._follow(url, deadline)

    def _follow(self, url: str, deadline: float) -> bytes:
        """Fetch a URL once, through its redirects."""
        visited = [url]
        while True:
            response = self._connections.get(_parse(visited[-1]), deadline=deadline)
            try:
                location = response.get_redirect_location()
                if not location:
                    return self._read(response)
                visited.append(_join(visited[-1], location))
            except HTTPError as error:
                raise to_image_error(error) from error
            finally:
                _release(response)
            if visited[-1] in visited[:-1]:
                raise ImageError("read", "redirect loop", f"it redirects back to {visited[-1]}")
            if len(visited) > MAX_REDIRECTS + 1:
                raise ImageError("read", "redirect loop", f"it redirects more than {MAX_REDIRECTS} times")

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        if response.status not in _DONE:
            raise _status_error(response)
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise ImageError("read", "too large", f"it has {length} bytes; the limit is {self._max_bytes}")
        data = bytearray()
        while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
            is_checked = len(data) >= HEAD_BYTES
            data += chunk
            if not is_checked and len(data) >= HEAD_BYTES:
                _check_head(data)  # a film or an endless page is not read on
            if len(data) > self._max_bytes:
                raise ImageError("read", "too large", f"it has more than {self._max_bytes} bytes")
        _check_head(data)
        return bytes(data)


def _join(url: str, location: str) -> str:
    try:
        return urllib.parse.urljoin(url, location)
    except ValueError as error:
        raise ImageError("read", "bad url", f"it redirects to {location[:200]}: {error}") from error


def _parse(url: str) -> Url:
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise ImageError("read", "bad url", f"{error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ImageError("read", "bad url", f"it leads to {url[:200]}, which is no http or https URL")
    return parsed


def _check_head(data: bytearray) -> None:
    if not data:
        raise ImageError("read", "empty", "the server sends no bytes")
    if not is_image(bytes(data[:HEAD_BYTES])):
        raise unsupported_error(bytes(data))


def _status_error(response: urllib3.BaseHTTPResponse) -> ImageError:
    reason, message = f"http {response.status}", f"the server answers {response.status} {response.reason or ''}".strip()
    if response.status not in _TEMPORARY:
        return ImageError("read", reason, message)
    retry_after = response.headers.get("Retry-After", "")
    try:
        wait_s = urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0.0
    except (InvalidHeader, ValueError, OverflowError):  # a date that no calendar has
        wait_s = 0.0
    asks = f", and to wait {wait_s:.0f} seconds" if wait_s else ""
    return TemporaryError(reason, message + asks, wait_s=wait_s)


def _release(response: urllib3.BaseHTTPResponse) -> None:
    """Return a connection for the next image; close it where more than a short page is still to come."""
    length = response.headers.get("Content-Length", "")
    is_short = length.isdecimal() and int(length) <= _CHUNK_BYTES
    if is_short or getattr(response, "closed", False):
        response.drain_conn()
    else:
        response.close()
    response.release_conn()

"""Connections to addresses that were checked, with a deadline for each image."""

import functools
import http.client
import importlib.metadata
import io
import socket
import ssl
import threading
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    IncompleteRead,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Url

from frieze.core import ImageError
from frieze.embedder.sources.web.addresses import Resolver
from frieze.embedder.sources.web.errors import TemporaryError

CONNECT_S = 5.0
"""Longest wait for a connection."""
SILENCE_S = 10.0
"""Longest wait for the next bytes of a server."""
_MOST_ADDRESSES = 3
_N_POOLS = 256
_KEPT_PER_HOST = 16

_REASONS: tuple[tuple[type[HTTPError], str], ...] = (
    (NewConnectionError, "refused"),  # a ConnectTimeoutError too
    (ConnectTimeoutError, "timeout"),
    (ReadTimeoutError, "timeout"),
    (IncompleteRead, "truncated"),
    (ProtocolError, "connection lost"),
)
"""Errors that another try may mend -> reason; the first match holds."""
_LASTING: tuple[tuple[type[HTTPError], str], ...] = (
    (SSLError, "tls"),
    (DecodeError, "damaged"),
    (LocationParseError, "bad url"),
)
"""The same for those that stay."""

_deadline = threading.local()


def to_image_error(error: HTTPError) -> ImageError:
    """Return the failure of an image whose request failed."""
    kinds = tuple(type(one) for one in (error, *error.args) if isinstance(one, Exception))
    message = f"{error}".partition("): ")[2] or f"{error}"  # without the name of a class
    for kind, reason in _LASTING:
        if any(issubclass(one, kind) for one in kinds):
            return ImageError("read", reason, message)
    for kind, reason in _REASONS:
        if any(issubclass(one, kind) for one in kinds):
            return TemporaryError(reason, message)
    return TemporaryError("bad response", message)


class Connections:
    """Open connections, kept for the next image of the same host.

    Proxies of the environment are not used: only a connection of our own is known to lead to the address checked.

    Args:
        allow_private: Whether addresses that are not public are accepted.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._resolver = Resolver(allow_private=allow_private)
        self._pools = urllib3.PoolManager(_N_POOLS, maxsize=_KEPT_PER_HOST, ssl_context=_tls())
        self._pools.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def get(self, url: Url, *, deadline: float) -> urllib3.BaseHTTPResponse:
        """Send a GET request; return the response with its body unread.

        Args:
            url: A parsed http or https URL.
            deadline: When reading has to be done, on `time.monotonic`'s clock.

        Raises:
            ImageError: The host can't be resolved, reached or trusted, or is at an address that is not public.
        """
        host = (url.host or "").strip("[]")
        addresses = self._resolver.resolve(host, deadline=deadline)[:_MOST_ADDRESSES]
        for address in addresses[:-1]:
            try:
                return self._get(address, host, url, deadline)
            except TemporaryError as error:
                if error.reason not in ("refused", "timeout"):
                    raise
        return self._get(addresses[-1], host, url, deadline)

    def _get(self, address: str, host: str, url: Url, deadline: float) -> urllib3.BaseHTTPResponse:
        _deadline.at = deadline
        left_s = max(0.1, deadline - time.monotonic())
        pool = self._pools.connection_from_host(address, url.port, url.scheme, {"server_hostname": host})
        try:
            return pool.urlopen(
                "GET",
                url.request_uri,
                headers=_headers() | {"Host": url.netloc or host},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_S, left_s), read=min(SILENCE_S, left_s)),
                preload_content=False,
            )
        except HTTPError as error:
            raise to_image_error(error) from error


@functools.cache
def _headers() -> dict[str, str]:
    version = importlib.metadata.version("frieze")
    return {"User-Agent": f"frieze/{version} (embeds images)", "Accept": "image/*", "Accept-Encoding": "identity"}


@functools.cache
def _tls() -> ssl.SSLContext:
    paths, context = ssl.get_default_verify_paths(), ssl.create_default_context()
    if paths.cafile is None and paths.capath is None:  # Python of python.org on macOS
        import certifi

        context.load_verify_locations(certifi.where())
    return context


class _TimedReader(io.RawIOBase):
    """A socket's bytes up to the deadline of the image: a server that sends a byte now and then can't hold a thread."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = _deadline.at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it is not complete in time")
        self._sock.settimeout(min(SILENCE_S, left_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Http(HTTPConnection):
    response_class = _TimedResponse


class _Https(HTTPSConnection):
    response_class = _TimedResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https

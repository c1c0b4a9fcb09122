"""Middleware for every request: checks host and origin, limits uploads, and adds security headers."""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_App = Callable[[Any, Any, Any], Awaitable[None]]
_SAME = ("same-origin", "none")

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


_GRACE_S, _SLOWEST = 10.0, 100_000
"""Seconds of grace for an upload, and the slowest rate in bytes per second after that."""
_MOST_UPLOADS = 10
"""How many uploads may be in memory at once."""
_SMALL_BYTES = 1 << 20


class TooLargeError(Exception):
    """An upload is larger than allowed."""


class TooSlowError(Exception):
    """An upload is too slow, and would keep others waiting."""


class Guard:
    """ASGI middleware that refuses cross-site requests and foreign host names (DNS rebinding).

    Args:
        app: The application.
        hosts: Names of this server, without a port, besides `localhost` and numeric addresses.
        max_bytes: Largest upload.
    """

    def __init__(self, app: _App, *, hosts: frozenset[str], max_bytes: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._n_uploads = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(headers)
        if refused is not None:
            await _refuse(send, *refused)
            return
        is_upload, is_head = scope["method"] == "POST" and not _is_small(headers), scope["method"] == "HEAD"
        if is_upload and self._n_uploads >= _MOST_UPLOADS:
            await _refuse(send, 503, "Too many images wait.")
            return
        self._n_uploads += is_upload
        try:
            inner = {**scope, "method": "GET"} if is_head else scope  # HEAD: the answer of GET without its body
            await self._app(inner, self._counted(receive), _guarded(_without_body(send) if is_head else send))
        except asyncio.CancelledError:  # the server shuts down
            await _refuse(send, 503, "This page has ended.")
        finally:
            self._n_uploads -= is_upload

    def _refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            return 421, "This page is not served under that name."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "Requests of other sites are refused."
        if headers.get("sec-fetch-site", "none") not in _SAME and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Requests of other sites are refused."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_bytes:
            return 413, f"At most {self._max_bytes >> 20} MB are taken."
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self._hosts or name == "localhost" or _is_address(name)

    def _counted(self, receive: Any) -> Any:
        n_bytes, is_whole, began = 0, False, time.monotonic()

        async def receive_counted() -> _Message:
            nonlocal n_bytes, is_whole
            left_s = began + _GRACE_S + n_bytes / _SLOWEST - time.monotonic()
            try:
                message: _Message = await asyncio.wait_for(receive(), None if is_whole else left_s)
            except TimeoutError:
                raise TooSlowError from None
            n_bytes, is_whole = n_bytes + len(message.get("body", b"")), not message.get("more_body", False)
            if n_bytes > self._max_bytes:
                raise TooLargeError
            return message

        return receive_counted


def _name(host: str) -> str:
    """Return the name in a Host header, without its port.

    >>> _name("localhost:8501"), _name("[::1]:8501"), _name("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    """Return whether it is a numeric address: only a name can be made to point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _guarded(send: Any) -> Any:
    async def send_guarded(message: _Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            missing = [(name, value) for name, value in _HEADERS.items() if name.encode() not in present]
            added = [(name.encode(), value.encode()) for name, value in missing]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return send_guarded


def _without_body(send: Any) -> Any:
    async def send_without_body(message: _Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_without_body


def _is_small(headers: Mapping[str, str]) -> bool:
    """Tell whether a request is a small document, such as labels, and no image that waits for the backbone."""
    length = headers.get("content-length", "")
    is_json = headers.get("content-type", "").startswith("application/json")
    return is_json and length.isdecimal() and int(length) <= _SMALL_BYTES


async def _refuse(send: Any, status: int, detail: str) -> None:
    body = f'{{"detail": "{detail}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _guarded(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

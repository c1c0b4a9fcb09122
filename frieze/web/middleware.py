"""What stands before every request: whose page it may come from, how much it may bring, what its answer may do."""

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
"""Seconds in which the first bytes of what is brought must come, and how many bytes a second must come after that."""
_MOST_BROUGHT = 10
"""How many requests may bring something at once: each is held whole, also while a slow one still comes in."""


class TooLargeError(Exception):
    """A request brings more than it may."""


class TooSlowError(Exception):
    """A request brings what it brings too slowly: others wait for its place."""


class Guard:
    """Refuses what another site's page may send here, and names that are not ours (DNS rebinding).

    Args:
        app: What answers.
        hosts: Names this server goes by, without a port; `localhost` and any address in numbers always are.
        max_bytes: What a request may bring.
    """

    def __init__(self, app: _App, *, hosts: frozenset[str], max_bytes: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._n_brought = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(headers)
        if refused is not None:
            await _refuse(send, *refused)
            return
        brings, is_head = scope["method"] == "POST", scope["method"] == "HEAD"
        if brings and self._n_brought >= _MOST_BROUGHT:
            await _refuse(send, 503, "Too many images wait.")
            return
        self._n_brought += brings
        try:
            asked = {**scope, "method": "GET"} if is_head else scope  # the same answer, of which the body stays here
            await self._app(asked, self._counted(receive), _guarded(_without_body(send) if is_head else send))
        except asyncio.CancelledError:  # the server ends, and this request would not
            await _refuse(send, 503, "This page has ended.")
        finally:
            self._n_brought -= brings

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
    """Take the port from a Host header.

    >>> _name("localhost:8501"), _name("[::1]:8501"), _name("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    """Tell a number from a name: only what is a name can be made to point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _guarded(send: Any) -> Any:
    async def send_guarded(message: _Message) -> None:
        if message["type"] == "http.response.start":
            told = {name for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in told]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return send_guarded


def _without_body(send: Any) -> Any:
    async def send_without_body(message: _Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_without_body


async def _refuse(send: Any, status: int, detail: str) -> None:
    body = f'{{"detail": "{detail}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _guarded(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

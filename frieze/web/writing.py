"""Who may write: requests that bring the printed token, to a page that is not read-only."""

import secrets
from typing import Any

import fastapi

from frieze.web.schemas import Token

Writable = Any
"""What FastAPI's `Depends` returns, for the `dependencies` of a route that writes."""


class TokenError(Exception):
    """A request that writes came without the token."""


class ReadOnlyError(Exception):
    """A request would write, and the page is read-only."""


def writable(token: str, *, is_read_only: bool) -> Writable:
    """Return a dependency of routes that write.

    Args:
        token: What a request has to send along.
        is_read_only: Whether nothing may be written.
    """

    def check(sent_token: Token = "") -> None:
        if not secrets.compare_digest(sent_token.encode(), token.encode()):
            raise TokenError
        if is_read_only:
            raise ReadOnlyError

    return fastapi.Depends(check)

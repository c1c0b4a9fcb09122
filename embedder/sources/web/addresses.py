"""Resolves the hosts of URLs, and refuses those at addresses that are not public."""

import functools
import ipaddress
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

from frieze.core import ImageError
from frieze.embedder.sources.web.errors import TemporaryError

_KEPT_S = 600.0
"""How long an answer is used, also one that there is no such host."""
_N_RESOLVERS = 16

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses of IPv4 behind a translator (RFC 6052, section 2.1): the last 32 bits are the address."""
_TEMPORARY = (socket.EAI_AGAIN, socket.EAI_SYSTEM)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Return whether an address belongs to the public internet, also the IPv4 address inside of an IPv6 one.

    >>> [is_public(one) for one in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1", "100.64.0.1", "64:ff9b::a00:1")]
    [True, False, False, False, False]
    """
    outer = ipaddress.ip_address(address)
    return all(one.is_global and not one.is_multicast for one in (outer, *_inner(outer)))


def _inner(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if not isinstance(address, ipaddress.IPv6Address):
        return ()
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(one for one in inner if one is not None)


class Resolver:
    """Resolves hosts, each once in ten minutes.

    Args:
        allow_private: Whether addresses that are not public are accepted.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._answers: dict[str, tuple[float, Future[list[str]]]] = {}
        self._lock = threading.Lock()

    def resolve(self, host: str, *, deadline: float) -> list[str]:
        """Return the addresses of a host, at least one; connections go to these and are not resolved again.

        Args:
            host: Its name, or an address.
            deadline: On `time.monotonic`'s clock.

        Raises:
            ImageError: There is no such host, or one of its addresses is not public.
        """
        try:
            addresses = self._ask(host).result(max(0.0, deadline - time.monotonic()))
        except FutureTimeoutError as error:
            raise TemporaryError("dns", f"the name server does not answer for {host}") from error
        except socket.gaierror as error:
            if error.errno in _TEMPORARY:
                self._answers.pop(host, None)
                raise TemporaryError("dns", f"{host}: {error.strerror}") from error
            raise ImageError("read", "dns", f"{host}: {error.strerror}") from error
        except (OSError, UnicodeError) as error:
            raise ImageError("read", "dns", f"{host}: {error}") from error
        private = [] if self._allow_private else [one for one in addresses if not is_public(one)]
        if private:
            raise ImageError("read", "private address", f"{host} is {private[0]}, which is no public address")
        return addresses

    def _ask(self, host: str) -> "Future[list[str]]":
        now = time.monotonic()
        with self._lock:
            asked_at, answer = self._answers.get(host, (-_KEPT_S, None))
            if answer is None or now - asked_at > _KEPT_S:
                answer = _resolvers().submit(_look_up, host)
                self._answers[host] = now, answer
            return answer


@functools.cache
def _resolvers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_N_RESOLVERS, thread_name_prefix="frieze-resolve")


def _look_up(host: str) -> list[str]:
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in answers))

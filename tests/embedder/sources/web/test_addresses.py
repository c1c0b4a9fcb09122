import socket
import time

import pytest

from frieze.core import ImageError
from frieze.embedder.sources.web import addresses
from frieze.embedder.sources.web.addresses import Resolver, is_public

PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104
    *("255.255.255.255", "224.0.0.1", "198.18.0.1", "::", "::1", "fc00::1", "fe80::1", "fe80::1%eth0", "ff02::1"),
    *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::1", "64:ff9b::7f00:1", "2001:db8::1"),
]
PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


def resolve(host, *, allow_private=False):
    """Resolve a host with a second's patience."""
    return Resolver(allow_private=allow_private).resolve(host, deadline=time.monotonic() + 1)


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address):
    """Addresses of loopback, of local networks and for special use are not public, nor are IPv6 ways to them."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    """Others are."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "::1"])
def test_other_spellings(host):
    """However an address is written, what it resolves to is checked."""
    with pytest.raises(ImageError, match="no public address"):
        resolve(host)


def test_one_of_several(monkeypatch):
    """A name with a public and a private address is refused."""
    monkeypatch.setattr(addresses, "_look_up", lambda _host: ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(ImageError, match=r"10\.0\.0\.1"):
        resolve("mixed.example")
    assert resolve("mixed.example", allow_private=True) == ["1.1.1.1", "10.0.0.1"]


@pytest.mark.parametrize(("code", "n_asked"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 2)])
def test_no_such_host(monkeypatch, code, n_asked):
    """A host that does not exist is looked up once; a name server in trouble is asked again."""
    hosts = []

    def look_up(host):
        hosts.append(host)
        raise socket.gaierror(code, "no")

    monkeypatch.setattr(addresses, "_look_up", look_up)
    resolver = Resolver(allow_private=False)
    for _ in range(2):
        with pytest.raises(ImageError) as failed:
            resolver.resolve("gone.example", deadline=time.monotonic() + 1)
        assert failed.value.reason == "dns"
    assert len(hosts) == n_asked


def test_silent_name_server(monkeypatch):
    """A name server that does not answer costs no more than the image's time."""
    with socket.socket() as never:
        never.settimeout(0.3)
        never.bind(("127.0.0.1", 0))
        never.listen()
        monkeypatch.setattr(addresses, "_look_up", lambda _host: never.accept())
        with pytest.raises(ImageError, match="does not answer"):
            Resolver(allow_private=False).resolve("silent.example", deadline=time.monotonic() + 0.05)
        with pytest.raises(TimeoutError):
            addresses._look_up("it ends before its socket is closed")

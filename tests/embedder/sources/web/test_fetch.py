import socket
import threading
import time

import pytest

from frieze.core import ImageError
from frieze.embedder.sources.web import connections, fetch
from frieze.embedder.sources.web.fetch import Fetcher, FetchOptions


@pytest.fixture
def impatient(monkeypatch):
    """Waits of a fraction of a second."""
    monkeypatch.setattr(connections, "SILENCE_S", 0.2)
    monkeypatch.setattr(fetch, "TOTAL_S", 1.0)
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 0.01)


def get(url, **options):
    """Fetch a URL once, from loopback too."""
    options = FetchOptions(**({"allow_private": True, "max_bytes": 1 << 20} | options))
    return Fetcher(options).fetch(url, threading.Event())


def reason(url, **options):
    """Return why a URL can't be fetched."""
    with pytest.raises(ImageError) as failed:
        get(url, **options)
    return failed.value.reason


@pytest.mark.parametrize("path", ["good", "hops/4", "ill", "busy/0", "busy/Mon, 1 Jan 99999 0:0:0 GMT", "zipped"])
def test_good(server, impatient, path):
    """An image arrives, also after redirects, a server's hiccup, a 429, and compressed unasked."""
    assert get(f"{server.url}/{path}") == server.image


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *(("gone", "http 404"), ("html", "not an image"), ("empty", "empty"), ("huge", "too large")),
        *(("endless", "too large"), ("bomb", "too large"), ("short", "truncated"), ("loop", "redirect loop")),
        *(("hops/5", "redirect loop"), ("slow", "timeout"), ("silent", "timeout"), ("garbage", "connection lost")),
        ("busy/3600", "http 429"),
    ],
)
def test_bad(server, impatient, path, expected):
    """Each way to misbehave is a failure with its reason, and ends soon."""
    start = time.monotonic()
    assert reason(f"{server.url}/{path}") == expected
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.jpg", "http://[::1", "gopher://127.0.0.1/"])
def test_redirect_to_other_schemes(server, url):
    """A redirect leads to http and https only."""
    server.away = url
    assert reason(f"{server.url}/away") == "bad url"


def test_refused(impatient):
    """A port where nobody listens is refused."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert reason(f"http://127.0.0.1:{port}/a.jpg") == "refused"


def test_tls(server, impatient):
    """A server without TLS, or with a certificate that nobody vouches for, is not trusted."""
    assert reason(server.url.replace("http", "https") + "/good") == "tls"


def test_redirect_is_checked(server, monkeypatch):
    """The address behind a redirect is checked as the first one is, before anything is sent to it."""
    private = {"localhost": ["127.0.0.1"], "metadata": ["169.254.169.254"]}
    monkeypatch.setattr("frieze.embedder.sources.web.addresses._look_up", private.__getitem__)
    monkeypatch.setattr("frieze.embedder.sources.web.addresses.is_public", lambda address: address == "127.0.0.1")
    server.away = "http://metadata/latest"
    assert reason(f"{server.url.replace('127.0.0.1', 'localhost')}/away", allow_private=False) == "private address"
    assert server.requests == ["/away"]


def test_private_is_refused(server):
    """Without `allow_private` loopback is not even connected to."""
    assert reason(f"{server.url}/good", allow_private=False) == "private address"
    assert server.requests == []


def test_resolved_once(server, monkeypatch):
    """The connection goes to the address that was checked: a name that changes its address meanwhile gains nothing."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    monkeypatch.setattr("frieze.embedder.sources.web.addresses._look_up", lambda _host: next(answers))
    assert get(f"http://rebinding.example:{server.server_address[1]}/good") == server.image
    assert server.headers_seen[0]["Host"] == f"rebinding.example:{server.server_address[1]}"


def test_what_is_sent(server, monkeypatch):
    """It says who asks, and sends neither cookies nor passwords; proxies of the environment are not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    get(server.url.replace("//", "//user:password@") + "/hops/2")
    assert len(server.headers_seen) == 4
    for headers in server.headers_seen:
        assert headers["User-Agent"].startswith("frieze/")
        assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}


def test_connections_are_kept(server, monkeypatch):
    """Images of a host share a connection, also after a page that says there is none."""
    opened = []
    connect = connections._Http.connect
    monkeypatch.setattr(connections._Http, "connect", lambda self: (opened.append(self), connect(self)))
    fetcher = Fetcher(FetchOptions(allow_private=True))
    for path in ("good", "hops/1", "good"):
        fetcher.fetch(f"{server.url}/{path}", threading.Event())
    with pytest.raises(ImageError):
        fetcher.fetch(f"{server.url}/gone", threading.Event())
    fetcher.fetch(f"{server.url}/good", threading.Event())
    assert len(opened) == 1

import threading

import pytest

from frieze.core import ImageError
from frieze.embedder.sources.web import fetch_pool
from frieze.embedder.sources.web.fetch import Fetcher
from frieze.embedder.sources.web.fetch_pool import FetchPool
from frieze.embedder.sources.web.options import FetchOptions


class Fetching:
    """A fetch that waits until it is let go; knows how many run at once of each host."""

    def __init__(self):
        self.go, self.lock, self.started = threading.Event(), threading.Lock(), threading.Semaphore(0)
        self.active, self.most = {}, {}

    def __call__(self, url, is_stopped):
        """Wait."""
        host = url.split("/")[2]
        with self.lock:
            self.active[host] = self.active.get(host, 0) + 1
            self.most[host] = max(self.most.get(host, 0), self.active[host])
        self.started.release()
        assert self.go.wait(10)
        with self.lock:
            self.active[host] -= 1
        return url.encode()


def test_few_of_each_host():
    """A host gets its share of connections and no more; others do not wait for it."""
    fetching = Fetching()
    pool = FetchPool(fetching, per_host={"a": 3})
    urls = [f"http://{host}/{n}" for host in "abc" for n in range(5)]
    results = [pool.submit(url) for url in urls]
    for _ in range(3 + 4 + 4):
        assert fetching.started.acquire(timeout=10)
    fetching.go.set()
    assert [one.result(10) for one in results] == [url.encode() for url in urls]
    assert fetching.most == {"a": 3, "b": 4, "c": 4}


def test_cancel():
    """What nobody waits for any more is given up at once, also where a thread is at it; new images are fetched."""
    fetching = Fetching()
    pool = FetchPool(fetching, per_host={"a": 3})
    results = [pool.submit(f"http://a/{n}") for n in range(5)]
    assert fetching.started.acquire(timeout=10)
    pool.cancel()
    assert {one.result(1).message for one in results} == {"the run was stopped"}
    fetching.go.set()
    assert pool.submit("http://a/new").result(10) == b"http://a/new"


@pytest.mark.parametrize(("silence_s", "n_asked"), [(0.0, 8), (60.0, 20)])
def test_dead_host(monkeypatch, silence_s, n_asked):
    """A host from which nothing comes for a minute, eight times in a row, is not asked any more."""
    monkeypatch.setattr(fetch_pool, "_SILENCE_TO_GIVE_UP_S", silence_s)
    urls = []

    def fetch(url, _is_stopped):
        urls.append(url)
        raise ImageError("read", "timeout", "no answer")

    pool = FetchPool(fetch, per_host={"dead": 1})
    reasons = [pool.submit(f"http://dead/{n}").result(10).reason for n in range(20)]
    assert reasons == ["timeout"] * 20
    assert len(urls) == n_asked


def test_threads_end(monkeypatch):
    """Idle threads end, and new ones start when they are needed."""
    monkeypatch.setattr(fetch_pool, "_IDLE_S", 0.01)
    pool = FetchPool(lambda url, _: url.encode())
    for n in range(3):
        before = set(threading.enumerate())
        assert pool.submit(f"http://a/{n}").result(10) == f"http://a/{n}".encode()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
        assert pool._n_threads == 0


def test_surprises():
    """An error that nobody expects is the failure of one image."""

    def fetch(_url, _is_stopped):
        raise RuntimeError("what?")

    assert FetchPool(fetch, per_host={"dead": 1}).submit("http://a/1").result(10).message == "RuntimeError: what?"


def test_malformed_urls():
    """A URL that can't be parsed is the failure of one image."""
    pool = FetchPool(Fetcher(FetchOptions()).fetch)
    assert [pool.submit(url).result(10).reason for url in ("http://[::1/a.jpg", "http://[x]/a.jpg")] == ["bad url"] * 2

"""A bounded pool of threads that fetch images, a few at once of each host."""

import collections
import dataclasses
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from types import MappingProxyType

from frieze.core import ImageError
from frieze.embedder.sources.base import Content

N_THREADS = 64
PER_HOST = 4
"""Connections to one host at once."""
PER_MAIN_HOST = 16
"""The same for a host that has at least half of the images."""

_IDLE_S = 5.0
_UNREACHABLE = ("dns", "refused", "timeout")
_FAILURES_TO_GIVE_UP, _SILENCE_TO_GIVE_UP_S = 8, 60.0
"""A host is given up after so many failures in a row, if nothing came from it for so long."""

Fetch = Callable[[str, threading.Event], bytes]
"""Returns the bytes of a URL; the event ends its waits."""


@dataclasses.dataclass(eq=False)
class _Task:
    url: str
    result: "Future[Content]" = dataclasses.field(default_factory=Future)
    is_stopped: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass
class _Host:
    """What is known of a host: how it answers, and which images wait for its connections."""

    n_active: int = 0
    waiting: collections.deque[_Task] = dataclasses.field(default_factory=collections.deque)
    n_failed: int = 0
    reason: str = ""
    answered_at: float = dataclasses.field(default_factory=time.monotonic)

    def count(self, content: Content) -> None:
        """Note how a fetch went."""
        if isinstance(content, ImageError) and content.reason in _UNREACHABLE:
            self.n_failed, self.reason = self.n_failed + 1, content.reason
        else:
            self.n_failed, self.answered_at = 0, time.monotonic()

    @property
    def is_given_up(self) -> bool:
        """Whether it is not asked any more: thousands of images of a dead host would each wait for it."""
        return self.n_failed >= _FAILURES_TO_GIVE_UP and time.monotonic() - self.answered_at >= _SILENCE_TO_GIVE_UP_S


class FetchPool:
    """Fetches in threads; those of a host beyond its share wait without a thread.

    The threads are daemons, which end when idle: a silent server delays neither Ctrl-C nor the end of the program.

    Args:
        fetch: Fetches one image.
        per_host: Host -> how many of its images are fetched at once, where that is not `PER_HOST`.
    """

    def __init__(self, fetch: Fetch, *, per_host: Mapping[str, int] = MappingProxyType({})) -> None:
        self._fetch = fetch
        self._per_host = per_host
        self._lock = threading.Condition()
        self._hosts: dict[str, _Host] = {}
        self._ready = collections.deque[_Task]()
        self._n_threads = self._n_idle = 0
        self._unfinished: set[_Task] = set()

    def submit(self, url: str) -> "Future[Content]":
        """Fetch an image; its bytes or the reason why it has none are the future's result."""
        task = _Task(url)
        with self._lock:
            self._unfinished.add(task)
            name = host_of(url)
            host = self._hosts.setdefault(name, _Host())
            if host.n_active >= self._per_host.get(name, PER_HOST):
                host.waiting.append(task)
            else:
                host.n_active += 1
                self._start(task)
        return task.result

    def cancel(self) -> None:
        """Give up everything that is not fetched yet: nobody waits for it any more."""
        with self._lock:
            tasks = list(self._unfinished)
            for host in self._hosts.values():
                host.waiting.clear()
            self._unfinished.clear()
        for task in tasks:
            task.is_stopped.set()
            _finish(task, ImageError("read", "unreadable", "the run was stopped"))

    def _start(self, task: _Task) -> None:
        """Hand a task to a thread, a new one if all are busy; the lock is held."""
        self._ready.append(task)
        if self._n_idle >= len(self._ready):
            self._lock.notify()
        elif self._n_threads < N_THREADS:
            self._n_threads += 1
            threading.Thread(target=self._work, name="frieze-fetch", daemon=True).start()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            host = self._hosts[host_of(task.url)]
            content = self._content(task, host)
            with self._lock:
                host.count(content)
                self._unfinished.discard(task)
                if host.waiting:
                    self._start(host.waiting.popleft())
                else:
                    host.n_active -= 1
            _finish(task, content)

    def _next(self) -> _Task | None:
        """Return the next task; None after some idle seconds, when the thread is no longer counted."""
        with self._lock:
            while not self._ready:
                self._n_idle += 1
                is_notified = self._lock.wait(_IDLE_S)
                self._n_idle -= 1
                if not is_notified and not self._ready:
                    self._n_threads -= 1
                    return None
            return self._ready.popleft()

    def _content(self, task: _Task, host: _Host) -> Content:
        if task.is_stopped.is_set():
            return ImageError("read", "unreadable", "the run was stopped")
        if host.is_given_up:
            return ImageError("read", host.reason, "its host failed many times in a row, and is not asked any more")
        try:
            return self._fetch(task.url, task.is_stopped)
        except ImageError as error:
            return error
        except Exception as error:  # noqa: BLE001  a thread of the pool must not end, nor a future stay unset
            return ImageError("read", "bad response", f"{type(error).__name__}: {error}")


def host_of(url: str) -> str:
    """Return the host of a URL, with its port; nothing of a malformed URL, which is refused where it is fetched.

    >>> host_of("https://user@Host:81/a.jpg"), host_of("http://[::1/a.jpg")
    ('host:81', '')
    """
    try:
        return urllib.parse.urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _finish(task: _Task, content: Content) -> None:
    try:
        task.result.set_result(content)
    except InvalidStateError:  # it was given up meanwhile
        return

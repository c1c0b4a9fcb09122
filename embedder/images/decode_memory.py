"""Memory of large images: how many of them are decoded at once."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from frieze.core import free_memory, trim_memory

SMALL_BYTES = 64 << 20
"""An image that takes less is decoded at once: there are only so many threads."""

_SHARE = 0.5
"""Of the free memory: the rest is the network's, and others'."""

_KEPT_SHARE = 1 / 16
"""Of that share: what one thread may keep of an image that is done."""


class DecodeMemory:
    """Lets images be decoded at once as long as they fit the memory together; one that is too large alone goes alone.

    Args:
        free: Gives the free bytes; asked whenever no large image is being decoded.
    """

    def __init__(self, free: Callable[[], int] = free_memory) -> None:
        self._free = free
        self._turn = threading.Lock()  # the next in line: a large one is not overtaken for ever
        self._changed = threading.Condition()
        self._taken = self._limit = 0

    @contextlib.contextmanager
    def take(self, n_bytes: int) -> Iterator[None]:
        """Wait until an image fits, and count it while the block runs."""
        if n_bytes < SMALL_BYTES:
            yield
            return
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + n_bytes <= self._limit)
            if not self._taken:
                self._limit = int(self._free() * _SHARE)
            self._taken += n_bytes
        try:
            yield
        finally:
            if n_bytes > self._limit * _KEPT_SHARE:
                trim_memory()  # the C library keeps what a thread freed, and the next thread's image comes on top
            with self._changed:
                self._taken -= n_bytes
                self._changed.notify_all()


DECODE_MEMORY = DecodeMemory()
"""Of this process."""

"""Memory of large images: limits how many are decoded in parallel."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from frieze.core import free_memory, trim_memory

SMALL_BYTES = 64 << 20
"""A smaller image is decoded without waiting."""

PROGRESSIVE_BYTES = 6
"""Peak memory of a progressive JPEG beside its pixels, in bytes a pixel of its full size: two for each coefficient."""

_SHARE = 0.5
"""Share of the free memory; the rest is for the network and other programs."""

_KEPT_SHARE = 1 / 16
"""Part of that share that a thread may keep after decoding."""


class DecodeMemory:
    """Limits parallel decoding to images that fit the memory together; an image too large for it is decoded alone.

    Args:
        free: Returns the free bytes; called whenever no large image is being decoded.

    Attributes:
        n_processes: How many processes share the memory.
    """

    def __init__(self, free: Callable[[], int] = free_memory) -> None:
        self._free = free
        self.n_processes = 1
        self._turn = threading.Lock()  # first come, first served: a large image does not starve
        self._changed = threading.Condition()
        self._taken = self._limit = 0

    @contextlib.contextmanager
    def take(self, n_bytes: int) -> Iterator[None]:
        """Wait until an image fits, and reserve its memory while the block runs."""
        if n_bytes < SMALL_BYTES:
            yield
            return
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + n_bytes <= self._limit)
            if not self._taken:
                self._limit = int(self._free() * _SHARE / self.n_processes)
            self._taken += n_bytes
        try:
            yield
        finally:
            if n_bytes > self._limit * _KEPT_SHARE:
                trim_memory()  # the C library keeps freed memory per thread
            with self._changed:
                self._taken -= n_bytes
                self._changed.notify_all()


DECODE_MEMORY = DecodeMemory()
"""The limit of this process."""

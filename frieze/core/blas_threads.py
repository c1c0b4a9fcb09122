"""One thread for the libraries that multiply NumPy's matrices, while some work lasts."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread: several that wait for each other spin, many times as long as small products take.

    The limit is that of the process. Of several threads that want it at once, threadpoolctl heeds the first.
    """
    with _libraries().limit(limits=1):
        yield


@functools.cache
def _libraries() -> Any:
    """Return the libraries; to find them takes ten milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")

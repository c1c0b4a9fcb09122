"""Results that take longer than a request: computed once in a background thread, then cached."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from frieze.core import InputError

_Result = TypeVar("_Result")


class BackgroundResult(Generic[_Result]):
    """A result that is computed once, in the background.

    Args:
        compute: Computes it; its exception is raised by every later `get`.
    """

    def __init__(self, compute: Callable[[], _Result]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._result: _Result | None = None
        self._error: BaseException | None = None

    @property
    def state(self) -> str:
        """`idle`, `working`, `ready` or `failed`."""
        if not self._done.is_set():
            return "idle" if self._thread is None else "working"
        return "ready" if self._error is None else "failed"

    def begin(self) -> None:
        """Start the computation, unless it was started before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def get(self) -> _Result:
        """Wait for the result.

        Raises:
            Exception: The exception of the computation.
        """
        self.begin()
        self._done.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)  # else it would keep the uploads of every request alive
        return cast("_Result", self._result)

    def abandon(self) -> None:
        """Release all waiting requests at shutdown; the computation ends with the process."""
        if not self._done.is_set():
            self._error = InputError("The page has ended.", hint="Start it again.")
            self._done.set()

    def _run(self) -> None:
        try:
            self._result = self._compute()
        except BaseException as error:  # noqa: BLE001  raised by `get`
            self._error = error
        self._done.set()

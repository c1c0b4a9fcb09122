"""What takes longer than a request: begun when it is first asked for, and kept."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from frieze.core import InputError

_Made = TypeVar("_Made")


class BackgroundResult(Generic[_Made]):
    """Something that is made once, in the background.

    Args:
        make: Makes it; what it raises is raised by every later `get`.
    """

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._made: _Made | None = None
        self._error: BaseException | None = None

    @property
    def state(self) -> str:
        """`idle`, `working`, `ready` or `failed`."""
        if not self._done.is_set():
            return "idle" if self._thread is None else "working"
        return "ready" if self._error is None else "failed"

    def begin(self) -> None:
        """Have it made, where nobody has asked yet."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def get(self) -> _Made:
        """Wait for it.

        Raises:
            Exception: Whatever its making raised.
        """
        self.begin()
        self._done.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)  # else it would hold on to what everybody brought who asks
        return cast("_Made", self._made)

    def abandon(self) -> None:
        """Let whoever waits go, for nobody is left to be answered; what makes it ends with the program."""
        if not self._done.is_set():
            self._error = InputError("The page has ended.", hint="Start it again.")
            self._done.set()

    def _run(self) -> None:
        try:
            self._made = self._make()
        except BaseException as error:  # noqa: BLE001  kept for whoever asks
            self._error = error
        self._done.set()

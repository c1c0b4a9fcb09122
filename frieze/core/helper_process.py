"""A Python process of its own for a function of this library, and a connection to it."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

_ENDING_S = 5.0


class HelperProcess:
    """A process that runs one function; close it. Not for Windows.

    It is no child of `multiprocessing`, so it does not import the user's main module again.

    Args:
        main: A function of an imported module without arguments; `other_end` in it gives the connection.
        descriptors: Open files that it gets too.

    Attributes:
        connection: To the process.
    """

    def __init__(self, main: Callable[[], None], *descriptors: int) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._child = _start(main, (theirs.fileno(), *descriptors))

    @contextlib.contextmanager
    def watched(self, make_error: Callable[[int | None], Exception]) -> Iterator[None]:
        """Raise an error in place of a broken connection.

        Args:
            make_error: Makes it, given the exit code of the process: that of a signal is negative; None if it goes on.
        """
        try:
            yield
        except (EOFError, OSError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_ENDING_S)
            raise make_error(self._child.returncode) from error

    @staticmethod
    def other_end() -> tuple[Connection, list[int]]:
        """Return, in the process, its connection to the one that started it, and the files that it got too."""
        descriptors = [int(argument) for argument in sys.argv[1:]]
        return Connection(descriptors[0]), descriptors[1:]

    def close(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self._child.kill()  # a stopped one, too; it has nothing to lose
        self._child.wait()


def _start(main: Callable[[], None], descriptors: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    program = f"from {main.__module__} import {main.__name__} as main; main()"
    command = [sys.executable, "-P", "-c", program, *map(str, descriptors)]
    path = os.pathsep.join(one for one in sys.path if isinstance(one, str))
    variables = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(  # noqa: S603
        command,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        env=variables,
        start_new_session=True,  # a terminal's Ctrl-C is for this process alone
    )

"""A Ray cluster, connected to."""

import contextlib
import functools
import importlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from features.errors import InputError

_ANSWER_S = 10.0


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Be connected to a cluster while the block runs.

    Args:
        address: `auto`, for the cluster that this machine belongs to, or `HOST:PORT`.

    Yields:
        The module `ray`.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        mend = "Type: pip install 'frieze[ray]', on every machine of the cluster."
        raise InputError("Ray is not installed.", mend=mend) from error
    with _off_stdout():
        try:
            _check_answers(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            mend = "Start one with: ray start --head, or give its address: --ray HOST:PORT."
            raise InputError(f"There is no Ray cluster at {address}: {error}.", mend=mend) from error
        try:
            yield ray
        finally:
            ray.shutdown()  # which waits for the threads that print


@contextlib.contextmanager
def _off_stdout() -> Iterator[None]:
    """Send to stderr what Ray's threads print of dead machines and workers: results alone stand on stdout.

    Ray 2.60 prints these to stdout whatever `log_to_driver` says, and has no option for it.
    """
    worker: Any = importlib.import_module("ray._private.worker")
    to_stream = getattr(worker, "print_to_stdstream", None)
    if to_stream is None:  # another release, which prints in another way
        yield
        return

    @functools.wraps(to_stream)
    def to_stderr(data: dict[str, Any], *words: Any, **named: Any) -> None:
        to_stream(data | {"is_err": True}, *words, **named)

    worker.print_to_stdstream = to_stderr
    try:
        yield
    finally:
        worker.print_to_stdstream = to_stream


def _check_answers(address: str) -> None:
    """Ask whether anybody listens there at all: Ray's own answer would take minutes.

    Raises:
        OSError: Nobody does.
        ValueError: It is no address.
    """
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


def unseen(place: object, what: str) -> InputError:
    """Make the error of a machine on which something is not there.

    Args:
        place: What is not there.
        what: What all machines have to see, for the message.
    """
    return InputError(
        f"{socket.gethostname()} of the cluster does not see {place}.",
        mend=f"Put {what} on storage that all its machines mount at the same place.",
    )


def fetch(ray: Any, answer: Any) -> Any:
    """Wait for what a task gives.

    Raises:
        InputError: It raised one, or the cluster could not bring it to an end.
    """
    try:
        with as_input_error(ray):
            return ray.get(answer)
    except ray.exceptions.RayTaskError as error:  # a fault of ours, which may look like one of the disk here
        raise RuntimeError("a task of the cluster failed") from error
    except ray.exceptions.RayError as error:
        raise InputError(
            f"The cluster could not do a part of the work: {type(error).__name__}.",
            mend="Look into Ray's own logs, /tmp/ray/session_latest/logs on its machines; memory may be short.",
        ) from error


@contextlib.contextmanager
def as_input_error(ray: Any) -> Iterator[None]:
    """Let what a worker found that the user can mend come back as it was raised there.

    Raises:
        InputError: The worker raised one.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise

"""A Ray cluster, connected to."""

import collections
import contextlib
import functools
import importlib
import itertools
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from frieze.core.errors import InputError

_LOG = logging.getLogger("frieze")
_ANSWER_S = 10.0
_PATIENCE_S = 10.0
"""How long nobody says that no core is free."""
_AHEAD = 2
"""Calls under way for each core: the next one lies there when one is done."""


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
        hint = "Type: pip install 'frieze[ray]', on every machine of the cluster."
        raise InputError("Ray is not installed.", hint=hint) from error
    with _off_stdout():
        try:
            _check_answers(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            hint = "Start one with: ray start --head, or give its address: --ray HOST:PORT."
            raise InputError(f"There is no Ray cluster at {address}: {error}.", hint=hint) from error
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


def not_visible_error(place: object, what: str) -> InputError:
    """Make the error of a machine on which something is not there.

    Args:
        place: What is not there.
        what: What all machines have to see, for the message.
    """
    return InputError(
        f"{socket.gethostname()} of the cluster does not see {place}.",
        hint=f"Put {what} on storage that all its machines mount at the same place.",
    )


def results(ray: Any, function: Callable[..., Any], shared: Any, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Have a cluster call a function many times, a core each; what a machine's disk fails at is done here.

    Args:
        ray: The module, connected to the cluster.
        function: Takes `shared`, then what a call has.
        shared: Sent to each machine once.
        calls: Drawn as cores come free: at most two a core are under way, or done and not yet taken.

    Yields:
        What the function gives, in the order of the calls.

    Raises:
        InputError: A call raised one, or the cluster could not bring it to an end.
    """
    n_cores, n_free = (
        int(resources.get("CPU", 0)) for resources in (ray.cluster_resources(), ray.available_resources())
    )
    task, sent = ray.remote(num_cpus=1)(function), ray.put(shared)
    begun = ((task.remote(sent, *call), call) for call in calls)
    coming = collections.deque(itertools.islice(begun, _AHEAD * max(1, n_cores)))
    if coming and not n_free and not ray.wait([coming[0][0]], timeout=_PATIENCE_S)[0]:
        _LOG.warning("Waiting for a CPU of the cluster: 0 of %d are free.", n_cores)
    while coming:
        answer, call = coming.popleft()
        try:
            done = _fetch(ray, answer)
        except OSError as error:
            _LOG.warning("A machine of the cluster failed at a part of the work, which is done here: %s.", error)
            done = function(shared, *call)
        yield done
        coming.extend(itertools.islice(begun, 1))


def _fetch(ray: Any, answer: Any) -> Any:
    """Wait for what a task gives.

    Raises:
        InputError: It raised one, or the cluster could not bring it to an end.
        OSError: It raised one.
    """
    try:
        with as_input_error(ray):
            return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from None
        raise RuntimeError("a task of the cluster failed") from error  # a fault of ours
    except ray.exceptions.RayError as error:
        raise InputError(
            f"The cluster could not do a part of the work: {type(error).__name__}.",
            hint="Look into Ray's own logs, /tmp/ray/session_latest/logs on its machines; memory may be short.",
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

"""Connect to a Ray cluster and run tasks on it."""

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
_CONNECT_TIMEOUT_S = 10.0
_WARN_AFTER_S = 10.0
"""How long to wait for a free core before a warning."""
_TASKS_PER_CORE = 2
"""Tasks submitted for each core, so that the next one is ready when one ends."""


@contextlib.contextmanager
def connect_to_ray(address: str) -> Iterator[Any]:
    """Connect to a cluster while the block runs.

    Args:
        address: `auto`, for the cluster that this machine belongs to, or `HOST:PORT`.

    Yields:
        The `ray` module.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        hint = "Type: pip install 'frieze[ray]', on every machine of the cluster."
        raise InputError("Ray is not installed.", hint=hint) from error
    with _ray_prints_to_stderr():
        try:
            _check_reachable(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            hint = "Start one with: ray start --head, or give its address: `ray='HOST:PORT'`."
            raise InputError(f"There is no Ray cluster at {address}: {error}.", hint=hint) from error
        try:
            yield ray
        finally:
            ray.shutdown()  # waits for the threads that print


@contextlib.contextmanager
def _ray_prints_to_stderr() -> Iterator[None]:
    """Redirect what Ray prints of dead machines and workers to stderr: stdout is for results alone.

    Ray 2.60 prints these to stdout whatever `log_to_driver` says, and has no option for it.
    """
    worker: Any = importlib.import_module("ray._private.worker")
    to_stream = getattr(worker, "print_to_stdstream", None)
    if to_stream is None:  # a release of Ray that prints otherwise
        yield
        return

    @functools.wraps(to_stream)
    def to_stderr(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        to_stream(data | {"is_err": True}, *args, **kwargs)

    worker.print_to_stdstream = to_stderr
    try:
        yield
    finally:
        worker.print_to_stdstream = to_stream


def _check_reachable(address: str) -> None:
    """Check that a server listens at an address: Ray itself would take minutes to fail.

    Raises:
        OSError: None does.
        ValueError: It is no address.
    """
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()


def not_visible_error(path: object, what: str) -> InputError:
    """Return the error for a path that does not exist on this machine of the cluster.

    Args:
        path: The missing path.
        what: What all machines must see, for the message.
    """
    return InputError(
        f"{socket.gethostname()} of the cluster does not see {path}.",
        hint=f"Put {what} on storage that all its machines mount at the same place.",
    )


def run_on_cluster(
    ray: Any, function: Callable[..., Any], shared: Any, calls: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """Run a function as many Ray tasks, one core each; a task that fails with an OSError is run locally.

    Args:
        ray: The `ray` module, connected to the cluster.
        function: Called with `shared`, then the arguments of a call.
        shared: Sent to each machine once.
        calls: The arguments of each call, consumed as cores become free: at most two tasks a core are pending.

    Yields:
        The results, in the order of the calls.

    Raises:
        InputError: A call raised one, or the cluster could not finish it.
    """
    n_cores, n_free = (
        int(resources.get("CPU", 0)) for resources in (ray.cluster_resources(), ray.available_resources())
    )
    task, shared_ref = ray.remote(num_cpus=1)(function), ray.put(shared)
    submitted = ((task.remote(shared_ref, *call), call) for call in calls)
    pending = collections.deque(itertools.islice(submitted, _TASKS_PER_CORE * max(1, n_cores)))
    if pending and not n_free and not ray.wait([pending[0][0]], timeout=_WARN_AFTER_S)[0]:
        _LOG.warning("Waiting for a CPU of the cluster: 0 of %d are free.", n_cores)
    while pending:
        future, call = pending.popleft()
        try:
            result = _fetch(ray, future)
        except OSError as error:
            _LOG.warning("A machine of the cluster failed at a part of the work, which is done here: %s.", error)
            result = function(shared, *call)
        yield result
        pending.extend(itertools.islice(submitted, 1))


def _fetch(ray: Any, future: Any) -> Any:
    """Wait for the result of a task.

    Raises:
        InputError: It raised one, or the cluster could not finish it.
        OSError: It raised one.
    """
    try:
        with reraise_input_errors(ray):
            return ray.get(future)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from None
        raise RuntimeError("a task of the cluster failed") from error  # a bug of ours
    except ray.exceptions.RayError as error:
        raise InputError(
            f"The cluster could not do a part of the work: {type(error).__name__}.",
            hint="Look into Ray's own logs, /tmp/ray/session_latest/logs on its machines; memory may be short.",
        ) from error


@contextlib.contextmanager
def reraise_input_errors(ray: Any) -> Iterator[None]:
    """Raise a worker's InputError here as it was raised there, without Ray's wrapper.

    Raises:
        InputError: The worker raised one.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise

"""The worker pool of a Ray cluster: start workers in free slots, call them, notice when they die.

Ray's heartbeats find a dead worker or machine; its open calls then return as replies with `is_dead`.
"""

import collections
import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from frieze.core import InputError, counted, reraise_input_errors
from frieze.embedder.cluster.worker import Worker, WorkerConfig


@dataclasses.dataclass(frozen=True)
class Slot:
    """Room for one worker.

    Attributes:
        node: Ray's id of the machine.
        cores: Numbers of the worker's cores among the machine's.
        gpus: 1 or 0.
    """

    node: str
    cores: range
    gpus: int


@dataclasses.dataclass(eq=False)
class WorkerHandle:
    """A started worker.

    Attributes:
        slot: Where it runs.
        actor: Ray's handle.
        host: Its machine's name; None while the machine has no room for it yet.
        is_ready: Whether it has chosen an engine, and takes slices.
    """

    slot: Slot
    actor: Any
    host: str | None = None
    is_ready: bool = False


class Reply(NamedTuple):
    """The result of a call.

    Attributes:
        worker: The worker that was called.
        context: What the caller passed to recognise the call.
        value: What the worker returned; None if it died.
        is_dead: Whether it died.
    """

    worker: WorkerHandle
    context: Any
    value: Any
    is_dead: bool


class WorkerPool:
    """The workers of one run; as a context manager it kills them at the end.

    Args:
        ray: The module, connected to the cluster.
        config: What every worker gets.

    Attributes:
        shortage: What the cluster lacked for the last workers to start, as a phrase; None where it had all.
    """

    shortage: str | None = None

    def __init__(self, ray: Any, config: WorkerConfig) -> None:
        self._ray = ray
        try:
            self._config = ray.put(config)
        except TypeError as error:  # it can't be pickled: a generator's images lie in a file of this process
            hint = "Write the images to files that all machines see, and give their folder."
            raise InputError("These images can't be sent to the workers of a cluster.", hint=hint) from error
        self._options = config.options
        self._workers: dict[Slot, WorkerHandle] = {}
        self._calls: dict[Any, tuple[WorkerHandle, Any]] = {}
        self._had_slots = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            self._ray.kill(worker.actor)

    def start_workers(self) -> list[WorkerHandle]:
        """Start a worker in every free slot; return the new ones.

        Raises:
            InputError: No machine of the cluster offers a core, and none ever did.
        """
        slots = list(find_slots(self._ray.nodes(), self._options.cpus_per_worker, self._options.device))
        if not slots:
            self._on_no_slots()
        free = [slot for slot in slots if slot not in self._workers]
        if free:
            self.shortage = find_shortage(free, self._ray.available_resources())  # before they take resources
        started = [WorkerHandle(slot, self._start(slot)) for slot in free]
        self._had_slots = self._had_slots or bool(started)
        self._workers |= {worker.slot: worker for worker in started}
        return started

    def _on_no_slots(self) -> None:
        """Wait for machines if there were any: spot machines come and go."""
        n_cpus = self._options.cpus_per_worker or 1
        if not self._had_slots:
            raise InputError(f"No machine of the cluster has {n_cpus} CPU to offer.", hint="See: ray status")
        self.shortage = f"a machine with {n_cpus} CPU: the cluster has none left"

    def _start(self, slot: Slot) -> Any:
        from ray.util import scheduling_strategies as strategies

        actor_class = self._ray.remote(
            num_cpus=len(slot.cores),
            num_gpus=slot.gpus,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(slot.node, soft=False),
        )(Worker)
        return actor_class.remote(self._config, slot.cores)

    def call(self, worker: WorkerHandle, method: str, *args: Any, context: Any) -> None:
        """Call a method of a worker; calls of one worker run in order."""
        self._calls[getattr(worker.actor, method).remote(*args)] = worker, context

    def replies(self, *, timeout_s: float) -> Iterator[Reply]:
        """Wait for a reply, and yield all that are there; every open call of a dead worker returns.

        Raises:
            InputError: A worker raised it.
        """
        ray = self._ray
        if not self._calls:
            time.sleep(timeout_s)
            return
        first, _ = ray.wait(list(self._calls), timeout=timeout_s)
        ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0) if first else (first, None)
        for call in ready:
            worker, context = self._calls.pop(call)
            try:
                with reraise_input_errors(ray):
                    value = ray.get(call)
                yield Reply(worker, context, value, is_dead=False)
            except ray.exceptions.RayTaskError:  # a bug of ours
                raise
            except ray.exceptions.RayError:  # the worker died or is out of memory, or its machine went away
                ray.kill(worker.actor)
                if self._workers.get(worker.slot) is worker:  # else another one has its slot already
                    self._workers.pop(worker.slot)
                yield Reply(worker, context, None, is_dead=True)


def find_shortage(slots: list[Slot], available: dict[str, float]) -> str | None:
    """Return what a cluster lacks to fill some slots at once, as a phrase; None where it has all.

    Args:
        slots: The slots to fill.
        available: From `ray.available_resources()`.
    """
    required = {"GPU": sum(slot.gpus for slot in slots), "CPU": sum(len(slot.cores) for slot in slots)}
    for name, n in required.items():
        n_free = int(available.get(name, 0))
        if n_free < n:
            return f"{counted(n, name)} of the cluster: {n_free} {'is' if n_free == 1 else 'are'} free"
    return None


def find_slots(nodes: list[dict[str, Any]], cpus_per_worker: int | None, device: str) -> Iterator[Slot]:
    """Divide a cluster into slots: one a GPU, or one a machine, or as many as its cores allow.

    Args:
        nodes: From `ray.nodes()`.
        cpus_per_worker: Cores of each slot; None for a machine's share.
        device: With `cpu` no GPU is used.
    """
    n_used = collections.Counter[str]()  # cores of a machine; several nodes may run on one
    for node in nodes:
        resources = node["Resources"] if node["Alive"] else {}
        cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
        gpus = 0 if device == "cpu" else gpus
        n_workers = min(gpus or cpus, cpus // (cpus_per_worker or max(1, cpus // max(1, gpus))))
        for _ in range(n_workers):
            first = n_used[node["NodeManagerHostname"]]
            cores = range(first, first + (cpus_per_worker or cpus // n_workers))
            n_used[node["NodeManagerHostname"]] = cores.stop
            yield Slot(node["NodeID"], cores, min(1, gpus))

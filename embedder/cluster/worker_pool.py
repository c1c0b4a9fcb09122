"""Workers on the machines of a Ray cluster: hired, asked, and missed when they die."""

import collections
import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from frieze.core import InputError, counted, reraise_input_errors
from frieze.embedder.cluster.worker import Work, Worker


@dataclasses.dataclass(frozen=True)
class Place:
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
    """A worker that was hired.

    Attributes:
        place: Where it works.
        actor: Ray's handle.
        host: Its machine's name; None while the machine has no room for it yet.
        has_begun: Whether it has chosen an engine, and takes work.
    """

    place: Place
    actor: Any
    host: str | None = None
    has_begun: bool = False


class Answer(NamedTuple):
    """What came back of a question.

    Attributes:
        member: Who was asked.
        about: What the asker wanted to be reminded of.
        value: What the worker gave; None where it died.
        is_dead: Whether it died.
    """

    member: WorkerHandle
    about: Any
    value: Any
    is_dead: bool


class WorkerPool:
    """The workers of one run; as a context manager it lets them go at the end.

    Args:
        ray: The module, connected to the cluster.
        work: What all of them are told.

    Attributes:
        lack: In words, what the cluster did not have for the workers that were hired last; None where it had all.
    """

    lack: str | None = None

    def __init__(self, ray: Any, work: Work) -> None:
        self._ray = ray
        try:
            self._work = ray.put(work)
        except TypeError as error:  # it can't be pickled: a generator's images lie in a file of this process
            hint = "Write the images to files that all machines see, and give their folder."
            raise InputError("These images can't be sent to the workers of a cluster.", hint=hint) from error
        self._options = work.options
        self._members: dict[Place, WorkerHandle] = {}
        self._asked: dict[Any, tuple[WorkerHandle, Any]] = {}
        self._had_places = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members.values():
            self._ray.kill(member.actor)

    def start_workers(self) -> list[WorkerHandle]:
        """Put a worker wherever there is room for one; give the new ones.

        Raises:
            InputError: No machine of the cluster has a core to offer, and none ever had.
        """
        places = list(find_places(self._ray.nodes(), self._options.cpus_per_worker, self._options.device))
        if not places:
            self._miss_machines()
        wanted = [place for place in places if place not in self._members]
        if wanted:
            self.lack = find_lack(wanted, self._ray.available_resources())  # before they take what there is
        fresh = [WorkerHandle(place, self._employ(place)) for place in wanted]
        self._had_places = self._had_places or bool(fresh)
        self._members |= {member.place: member for member in fresh}
        return fresh

    def _miss_machines(self) -> None:
        """Wait for machines where there were some: those of a cheap kind come and go."""
        n_cpus = self._options.cpus_per_worker or 1
        if not self._had_places:
            raise InputError(f"No machine of the cluster has {n_cpus} CPU to offer.", hint="See: ray status")
        self.lack = f"a machine with {n_cpus} CPU: the cluster has none left"

    def _employ(self, place: Place) -> Any:
        from ray.util import scheduling_strategies as strategies

        kind = self._ray.remote(
            num_cpus=len(place.cores),
            num_gpus=place.gpus,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(place.node, soft=False),
        )(Worker)
        return kind.remote(self._work, place.cores)

    def ask(self, member: WorkerHandle, question: str, *words: Any, about: Any) -> None:
        """Have a worker do something, after what it was asked before."""
        self._asked[getattr(member.actor, question).remote(*words)] = member, about

    def answers(self, *, seconds: float) -> Iterator[Answer]:
        """Wait for an answer, and give all that are there; of one who died each question comes back.

        Raises:
            InputError: A worker found something that the user can mend.
        """
        ray = self._ray
        if not self._asked:
            time.sleep(seconds)
            return
        first, _ = ray.wait(list(self._asked), timeout=seconds)
        there, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0) if first else (first, None)
        for question in there:
            member, about = self._asked.pop(question)
            try:
                with reraise_input_errors(ray):
                    value = ray.get(question)
                yield Answer(member, about, value, is_dead=False)
            except ray.exceptions.RayTaskError:  # a fault of ours
                raise
            except ray.exceptions.RayError:  # dead, out of memory, its machine gone with what it had made
                ray.kill(member.actor)
                if self._members.get(member.place) is member:  # else another one has its place already
                    self._members.pop(member.place)
                yield Answer(member, about, None, is_dead=True)


def find_lack(places: list[Place], free: dict[str, float]) -> str | None:
    """Say what a cluster does not have for some workers at once, in words; None where it has all.

    Args:
        places: Those of the workers.
        free: As `ray.available_resources()` gives it.
    """
    wanted = {"GPU": sum(place.gpus for place in places), "CPU": sum(len(place.cores) for place in places)}
    for name, n in wanted.items():
        n_free = int(free.get(name, 0))
        if n_free < n:
            return f"{counted(n, name)} of the cluster: {n_free} {'is' if n_free == 1 else 'are'} free"
    return None


def find_places(nodes: list[dict[str, Any]], cpus_per_worker: int | None, device: str) -> Iterator[Place]:
    """Divide a cluster among workers: one a GPU, or one a machine, or as many as its cores make.

    Args:
        nodes: As `ray.nodes()` gives them.
        cpus_per_worker: Cores of each; None for a machine's share.
        device: With `cpu` no GPU is taken.
    """
    taken = collections.Counter[str]()  # several nodes may be one machine's
    for node in nodes:
        resources = node["Resources"] if node["Alive"] else {}
        cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
        gpus = 0 if device == "cpu" else gpus
        n_workers = min(gpus or cpus, cpus // (cpus_per_worker or max(1, cpus // max(1, gpus))))
        for _ in range(n_workers):
            first = taken[node["NodeManagerHostname"]]
            cores = range(first, first + (cpus_per_worker or cpus // n_workers))
            taken[node["NodeManagerHostname"]] = cores.stop
            yield Place(node["NodeID"], cores, min(1, gpus))

"""Timing of a run: seconds of each stage, the bottleneck, and advice."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import NamedTuple, Self, TypeVar

from frieze.core import CoreTimes, read_core_times
from frieze.embedder.job.decoder import Clocked

_Batch = TypeVar("_Batch", bound=Clocked)

NAMES = ("read", "decode", "infer", "write")


@dataclasses.dataclass
class Seconds:
    """Seconds of each stage."""

    read: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    write: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return self.read + self.decode + self.infer + self.write

    def to_json(self) -> dict[str, float]:
        """Return the seconds, rounded to milliseconds."""
        return {name: round(seconds, 3) for name, seconds in dataclasses.asdict(self).items()}


class StageTimes:
    """Seconds of the stages of one run, from its first image on.

    Attributes:
        waited: Wall-clock seconds that the run waited for each; what overlaps is not waited for.
        cpu: CPU seconds of each, all cores together; `infer` is what no other stage took.
    """

    def __init__(self) -> None:
        self.waited = Seconds()
        self.cpu = Seconds()
        self._started = time.process_time()
        self._others_s = 0.0

    def timed(self, batches: Iterator[_Batch]) -> Iterator[_Batch]:
        """Pass batches on; split the wait for each between reading and decoding as its threads' time was split."""
        start = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - start
            share = batch.read_s / max(batch.read_s + batch.decode_s, 1e-9)
            self.waited.read += waited * share
            self.waited.decode += waited * (1 - share)
            self.cpu.read += batch.read_cpu_s
            self.cpu.decode += batch.decode_cpu_s
            self._others_s += batch.other_cpu_s
            yield batch
            start = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self, stage: str) -> Iterator[None]:
        """Count the block's seconds for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self.waited, stage, getattr(self.waited, stage) + time.perf_counter() - start)

    def add(self, other: Self) -> None:
        """Add the seconds of another worker."""
        for ours, theirs in ((self.waited, other.waited), (self.cpu, other.cpu)):
            for name in NAMES:
                setattr(ours, name, getattr(ours, name) + getattr(theirs, name))

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return both accounts, in seconds."""
        return {"stages": self.waited.to_json(), "cpu_seconds": self.cpu.to_json()}

    def end(self, *, write_cpu_s: float) -> None:
        """Complete the CPU seconds, once nothing is in flight."""
        self.cpu.write = write_cpu_s
        others = self.cpu.read + self.cpu.decode + self.cpu.write - self._others_s
        self.cpu.infer = max(0.0, time.process_time() - self._started - others)


_BUSY = 0.8
"""From this share of all cores' time on, the processor bounds the run."""


class Bottleneck(NamedTuple):
    """The stage that bounds a run.

    Attributes:
        stage: `read`, `decode`, `infer` or `write`.
        advice: One or two sentences with figures.
    """

    stage: str
    advice: str


class Load(NamedTuple):
    """How busy the machine was during a run, as shares of its cores' time.

    Attributes:
        others: Used by other programs.
        idle: Unused.
    """

    others: float
    idle: float


_BUSY_WITH = {
    "read": "Reading took {share:.0%} of the processor's time: tar shards or a local disk would help most.",
    "decode": "Decoding took {share:.0%} of the processor's time: smaller originals would help more than a faster"
    " backbone.",
    "infer": "The backbone took {share:.0%} of the processor's time: {faster} would help more than smaller originals.",
    "write": "Writing took {share:.0%} of the processor's time: a backbone with fewer dimensions would help most.",
}


_WAITED_FOR = {
    "read": "The run waited for reading {share:.0%} of its time{idle}: a faster disk or connection would help most.",
    "decode": "The run waited for decoding {share:.0%} of its time{idle}: smaller originals would help most.",
    "infer": "The run waited for the backbone {share:.0%} of its time: {faster} would help most.",
    "write": "The run waited for the disk {share:.0%} of its time: a faster disk for --out would help most.",
}


_FASTER = {True: "a faster device", False: "a smaller backbone or a faster device"}
"""Whether the backbone is the fastest -> what runs it in less time."""
_IDLE = " while cores were idle"


_OTHERS = (
    "Other programs took {others:.0%} of the processor's time, and {idle:.0%} was idle: without them the run is faster."
)


_MORE_WORKERS = " More --workers would help, too."


_NO_WORKERS = " The number of --workers makes no difference here."


class RunFacts(NamedTuple):
    """What the advice on a run depends on beside its times.

    Attributes:
        seconds: How long the run was, > 0.
        cores: Cores' worth of time that it could use.
        load: How busy the machine was; None where that is unknown.
        workers: Threads that decoded, if the user set the number.
        is_fastest: Whether no named backbone takes less time than this one.
    """

    seconds: float
    cores: float
    load: Load | None = None
    workers: int | None = None
    is_fastest: bool = False


def explain(waited: Seconds, cpu: Seconds, facts: RunFacts) -> Bottleneck:
    """Find the stage that bounds a run.

    Args:
        waited: Seconds that the run waited for each stage.
        cpu: CPU seconds of each.
        facts: The run's length, machine and backbone.

    Returns:
        If the run kept the cores busy, the stage with most CPU seconds; else the one that was waited for most. If other
        programs kept them busy, the advice says so.

    >>> busy = Seconds(read=0.1, decode=7.1, infer=2.5, write=0.3)
    >>> explain(Seconds(decode=3.0), busy, RunFacts(seconds=5.0, cores=2)).advice[:45]
    "Decoding took 71% of the processor's time: sm"
    """
    load = facts.load
    cpu_s = {name: getattr(cpu, name) for name in NAMES}
    waited_s = {name: getattr(waited, name) for name in NAMES}
    is_busy = sum(cpu_s.values()) >= _BUSY * facts.cores * facts.seconds
    sentences, figures, total = (
        (_BUSY_WITH, cpu_s, sum(cpu_s.values())) if is_busy else (_WAITED_FOR, waited_s, facts.seconds)
    )
    stage = max(figures, key=lambda name: figures[name])
    if not is_busy and load is not None and load.idle < 1 - _BUSY:
        advice, has_room = _OTHERS.format(others=load.others, idle=load.idle), False
    else:
        share = min(1.0, figures[stage] / max(total, 1e-9))
        idle, faster = "" if load is None else _IDLE, _FASTER[facts.is_fastest]
        advice = sentences[stage].format(share=share, idle=idle, faster=faster)
        has_room = not is_busy and load is not None and stage in ("read", "decode")
    return Bottleneck(stage, advice + _workers_advice(facts.workers, facts.cores, has_room=has_room))


def _workers_advice(workers: int | None, cores: float, *, has_room: bool) -> str:
    """Return what another number of --workers would do, if the user set one."""
    if workers is None:
        return ""
    if not has_room:
        return _NO_WORKERS
    return _MORE_WORKERS if workers < cores else ""


def measure_load(before: CoreTimes | None, *, own_s: float) -> Load | None:
    """Measure how busy the machine was since a moment.

    Args:
        before: The cores' times at that moment.
        own_s: CPU seconds of this process since then.

    Returns:
        The shares; None where the machine does not report core times.
    """
    now = read_core_times()
    if before is None or now is None:
        return None
    busy_s, idle_s = now.busy_s - before.busy_s, now.idle_s - before.idle_s
    total_s = max(busy_s + idle_s, own_s, 1e-9)
    return Load(max(0.0, busy_s - own_s) / total_s, max(0.0, idle_s) / total_s)

"""Where a run's time goes: what it waited for, and what kept the processor busy."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Self

from embedder.pipeline import Batch

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
        """Give the seconds, rounded to milliseconds."""
        return {name: round(seconds, 3) for name, seconds in dataclasses.asdict(self).items()}


class Stages:
    """The stages of one run, from its first image on.

    Attributes:
        waited: What the run waited for each; what overlaps is not waited for.
        cpu: What each took of the processor's time, all cores together; of the network what no other took.
    """

    def __init__(self) -> None:
        self.waited = Seconds()
        self.cpu = Seconds()
        self._began = time.process_time()

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches on; the wait for each is divided as its threads divided theirs between reading and decoding."""
        start = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - start
            share = batch.read_s / max(batch.read_s + batch.decode_s, 1e-9)
            self.waited.read += waited * share
            self.waited.decode += waited * (1 - share)
            self.cpu.read += batch.read_cpu_s
            self.cpu.decode += batch.decode_cpu_s
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
        """Add what another worker's run took."""
        for ours, theirs in ((self.waited, other.waited), (self.cpu, other.cpu)):
            for name in NAMES:
                setattr(ours, name, getattr(ours, name) + getattr(theirs, name))

    def to_json(self) -> dict[str, dict[str, float]]:
        """Give both accounts, in seconds."""
        return {"stages": self.waited.to_json(), "cpu_seconds": self.cpu.to_json()}

    def end(self, *, write_cpu_s: float) -> None:
        """Close the account of the processor's time, once nothing is under way."""
        self.cpu.write = write_cpu_s
        others = self.cpu.read + self.cpu.decode + self.cpu.write
        self.cpu.infer = max(0.0, time.process_time() - self._began - others)

"""Where a run's time goes."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from embedder.pipeline import Batch


@dataclasses.dataclass
class Stages:
    """Seconds a run waited for each stage; what overlaps with inference is not waited for."""

    read: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    write: float = 0.0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches on; the wait for each is divided as its threads divided theirs between reading and decoding."""
        start = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - start
            share = batch.read_s / max(batch.read_s + batch.decode_s, 1e-9)
            self.read += waited * share
            self.decode += waited * (1 - share)
            yield batch
            start = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self, stage: str) -> Iterator[None]:
        """Count the block's seconds for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.perf_counter() - start)

    def to_json(self) -> dict[str, float]:
        """Give the seconds, rounded to milliseconds."""
        return {name: round(seconds, 3) for name, seconds in dataclasses.asdict(self).items()}

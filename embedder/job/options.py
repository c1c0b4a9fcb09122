"""Options of an embedding job."""

import dataclasses
import math
import os

from frieze.core import InputError
from frieze.embedder.images.limits import Limits
from frieze.embedder.sources import SourceOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How a source is embedded.

    Attributes:
        engine: A key of `ENGINES`, or `auto` for the fastest.
        device: `auto` (every GPU, else the CPU), `cpu`, `gpu`, or names such as `gpu:1`, with commas.
        batch_size: Images a batch; None for the fastest in a short trial.
        workers: Images decoded at once; None for as many as their share of the work needs.
        accept_drift: Accept an engine or precision whose embeddings drift too far from the reference's.
        is_query: The images meet vectors that are stored already: in int8, whose graph is with those, they are embedded
            in float32, as by `default_engine`.
        shard_size: Images in a new part.
        limit: Most images embedded in this run.
        retry_failures: Embed only the images that failed before.
        force: Make the table anew; the old one stays until the new one is complete.
        ray: `auto` or the address of a Ray cluster whose machines embed; None for this process.
        cpus_per_worker: Cores of each of its workers; None for one worker a GPU, or one a machine.
        source: How the source is read.
        limits: Which images are refused.
        stats: Store picture statistics, in a new table; an existing one keeps having them or not.
    """

    engine: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    accept_drift: bool = False
    is_query: bool = False
    shard_size: int = 4096
    limit: int | None = None
    retry_failures: bool = False
    force: bool = False
    ray: str | None = None
    cpus_per_worker: int | None = None
    source: SourceOptions = dataclasses.field(default_factory=SourceOptions)
    limits: Limits = dataclasses.field(default_factory=Limits)
    stats: bool = False

    def check(self) -> None:
        """Check that the options make sense.

        Raises:
            InputError: A number is below 1, or two options exclude each other.
        """
        numbers = dataclasses.asdict(self) | dataclasses.asdict(self.limits)
        for name in ("batch_size", "workers", "shard_size", "limit", "cpus_per_worker", "max_pixels", "max_bytes"):
            value = numbers[name]
            if value is not None and value < 1:
                raise InputError(f"`{name}` is {value}.", hint=f"Give `{name}` 1 or more.")
        seconds = self.limits.image_timeout
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"`image_timeout` is {seconds}.", hint="Give `image_timeout` seconds above 0, such as 10.")
        if seconds is not None and os.name != "posix":
            raise InputError("`image_timeout` needs Linux or macOS.", hint="Leave `image_timeout` out.")
        if self.cpus_per_worker is not None and self.ray is None:
            raise InputError(
                "`cpus_per_worker` applies to a cluster's workers.", hint="Give `ray='auto'`, or leave it out."
            )
        if self.force and self.retry_failures:
            raise InputError(
                "`force=True` makes a table anew, `retry_failures=True` continues one.",
                hint="Leave one of the two out.",
            )

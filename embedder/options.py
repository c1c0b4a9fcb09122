"""How a source is embedded."""

import dataclasses

from embedder.sources import LABELS
from features import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How a source is embedded.

    Attributes:
        engine: A key of `ENGINES`, or `auto`.
        batch_size: Images a batch; None leaves it to the engine.
        workers: Threads that decode; None for one a core.
        labels: `folder` or `none`.
        shard_size: Images in a new part.
        limit: Embed at most so many images in this run.
        retry_failures: Embed the images that failed before, and nothing else.
        force: Make the table anew; the old one stays until the new one is whole.
    """

    engine: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    labels: str = "folder"
    shard_size: int = 4096
    limit: int | None = None
    retry_failures: bool = False
    force: bool = False

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InputError: A number is below 1, or a word unknown.
        """
        if self.labels not in LABELS:
            raise InputError(f"Unknown --labels: {self.labels}.", mend=f"Use one of: {', '.join(LABELS)}.")
        for name in ("batch_size", "workers", "shard_size", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {value}.", mend=f"Give --{option} 1 or more.")

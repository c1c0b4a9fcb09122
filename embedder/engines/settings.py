"""How an engine runs a backbone."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """How an engine runs a backbone.

    Attributes:
        precision: What the numbers are: a word of `PRECISIONS`.
        devices: TensorFlow's names of the devices that each run a replica; empty for all GPUs, else the CPU.
        batch_size: Images run at once, >= 1; None for what suits most networks.
        streams: Batches that a CPU engine runs side by side, >= 1; None for one a core.
        has_float32_stem: Whether the first layers stay in float32 where the others have a lower precision.
    """

    precision: str = "float32"
    devices: tuple[str, ...] = ()
    batch_size: int | None = None
    streams: int | None = None
    has_float32_stem: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give what a table keeps of it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "devices"}

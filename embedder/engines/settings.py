"""How an engine runs a backbone: precision, devices (GPU or CPU), batch size, streams."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from frieze.core import InputError, import_tensorflow

AUTO = "auto"
INT8 = "int8"
"""The precision that has to be calibrated on images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How an engine runs a backbone.

    Attributes:
        precision: A key of `PRECISIONS`.
        devices: TensorFlow's names of the devices that each run a replica; empty for all GPUs, else the CPU.
        batch_size: Images run at once, >= 1; None for what suits most networks.
        streams: Batches that a CPU engine runs side by side, >= 1; None for one a core.
        has_float32_stem: Whether the first layers stay in float32 where the others have a lower precision.
        int8_graph: The calibrated graph, from `calibrate`; None in other precisions.
    """

    precision: str = "float32"
    devices: tuple[str, ...] = ()
    batch_size: int | None = None
    streams: int | None = None
    has_float32_stem: bool = False
    int8_graph: bytes | None = dataclasses.field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that features.json keeps."""
        left_out = ("devices", "int8_graph")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}


def find_devices(names: str = AUTO) -> tuple[str, ...]:
    """Resolve the device names of `--device`.

    Args:
        names: `auto` (every GPU, else the CPU), `cpu`, `gpu`, or names such as `gpu:1`, separated by commas.

    Returns:
        TensorFlow's names of one or more devices; the same for any spelling.

    Raises:
        InputError: There is no such device, or the names mix GPUs and CPUs.
    """
    if names in (AUTO, "cpu") and "tensorflow" not in sys.modules and not _may_have_gpu():
        return ("CPU:0",)
    available = [device.name.rpartition("device:")[2] for device in import_tensorflow().config.list_logical_devices()]
    if names == AUTO:
        gpus = [name for name in available if name.startswith("GPU")]
        return tuple(gpus or (name for name in available if name.startswith("CPU")))
    matches = [_matching(name.strip().upper().removeprefix("/"), available) for name in names.split(",")]
    if not all(matches):
        raise InputError(
            f"There is no device {names} here; there are: {', '.join(name.lower() for name in available)}.",
            hint="Leave `device` out, or name one of these.",
        )
    devices = tuple(dict.fromkeys(name for match in matches for name in match))
    if len({name.partition(":")[0] for name in devices}) > 1:
        raise InputError(f"`device={names!r}` names several kinds of device.", hint="Give GPUs alone, or the CPU.")
    return devices


def _may_have_gpu() -> bool:
    """Return whether TensorFlow may find a GPU; on Linux a driver of one has left a device file."""
    return sys.platform != "linux" or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _matching(name: str, available: list[str]) -> list[str]:
    return [one for one in available if name in (one, one.partition(":")[0])]


def are_gpus(devices: tuple[str, ...]) -> bool:
    """Check whether devices are GPUs.

    >>> are_gpus(("GPU:0", "GPU:1")), are_gpus(("CPU:0",))
    (True, False)
    """
    return devices[0].startswith("GPU")

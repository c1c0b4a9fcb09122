"""What an engine is, and which there are."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from frieze.core import Floats, InputError
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.devices import AUTO
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.settings import Setting
from frieze.embedder.engines.tensorflow import TensorFlowEngine


class Engine(Protocol):
    """Runs one backbone; made from a `Backbone` and a `Setting`.

    Attributes:
        name: Key in `ENGINES`.
        device: Where pixels are wanted, as TensorFlow names it; None for the host's memory.
        batch_size: Images run at once.
        depth: Batches under way at once that keep it busy.
    """

    name: str
    device: str | None
    batch_size: int
    depth: int

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Begin to embed, and give what waits for the embeddings."""


class _Kind(Protocol):
    """What makes an engine."""

    def __call__(self, backbone: Backbone, setting: Setting | None = None) -> Engine:
        """Make it, and warm it up."""

    def settings(self, setting: Setting) -> Iterator[Setting]:
        """Give the settings worth a trial."""

    def truer(self, setting: Setting) -> Iterator[Setting]:
        """Give what is worth a trial where a setting's vectors don't hold."""

    def unsupported_reason(self, setting: Setting) -> str | None:
        """Say why a setting can't be had here; None where it can."""


ENGINES: dict[str, _Kind] = {"tensorflow": TensorFlowEngine, "openvino": OpenVINOEngine}


REFERENCE = "tensorflow"
"""The engine that the others are held against, in float32."""


def usable(asked: str, setting: Setting) -> list[str]:
    """Name the engines that can run here as asked, the reference first.

    Args:
        asked: A key of `ENGINES`, or `auto` for any.
        setting: Precision and devices.

    Raises:
        InputError: The name is unknown, or none can.
    """
    if asked not in (AUTO, *ENGINES):
        raise InputError(f"Unknown engine: {asked}.", hint=f"Use one of: auto, {', '.join(ENGINES)}.")
    names = list(ENGINES) if asked == AUTO else [asked]
    reasons = {name: ENGINES[name].unsupported_reason(setting) for name in names}
    found = [name for name, reason in reasons.items() if reason is None]
    if not found:
        raise InputError(
            f"--precision {setting.precision} can't be had here: {'; '.join(map(str, reasons.values()))}."
            if asked == AUTO
            else f"--engine {asked} can't be had here: {reasons[asked]}.",
            hint="Give another --precision, --engine or --device.",
        )
    return found

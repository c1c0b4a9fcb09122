"""The contract of an engine, and the table of engines: TensorFlow and OpenVINO."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

from frieze.core import Floats, InputError
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.base import TENSORFLOW
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.settings import AUTO, EngineSettings, find_devices
from frieze.embedder.engines.tensorflow import TensorFlowEngine


class Engine(Protocol):
    """Runs one backbone; made from a `Backbone` and `EngineSettings`.

    Attributes:
        name: Key in `ENGINES`.
        batch_size: Images run at once.
        depth: Batches in flight that keep it busy.
    """

    name: str
    batch_size: int
    depth: int

    def prefetch(self, batches: Iterator[Any]) -> Generator[Any, None, None]:
        """Yield the same batches, whose `pixels` are uint8 [n, H, W, 3], where the engine takes them."""

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Start to embed; return a function that waits for the embeddings."""


class _EngineClass(Protocol):
    """A class of `ENGINES`."""

    def __call__(self, backbone: Backbone, settings: EngineSettings | None = None) -> Engine:
        """Compile the backbone and warm the engine up."""

    def candidate_settings(self, settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield the settings worth a trial."""

    def fallbacks(self, settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield more accurate settings to try when the embeddings of these drift too far."""

    def unsupported_reason(self, settings: EngineSettings) -> str | None:
        """Return why this machine can't run the settings; None where it can."""


ENGINES: dict[str, _EngineClass] = {"tensorflow": TensorFlowEngine, "openvino": OpenVINOEngine}


REFERENCE = TENSORFLOW
"""The engine that all others are compared with, in float32, but for a network that only OpenVINO reads."""


def usable_engines(engine: str, settings: EngineSettings, backbone: Backbone | None = None) -> list[str]:
    """List the engines that can run here, the reference first.

    Args:
        engine: A key of `ENGINES`, or `auto` for any.
        settings: Precision and devices.
        backbone: What they run; None for a network that any of them runs.

    Raises:
        InputError: The name is unknown, or no engine supports the settings.
    """
    if engine not in (AUTO, *ENGINES):
        raise InputError(f"Unknown engine: {engine}.", hint=f"Use one of: auto, {', '.join(ENGINES)}.")
    names = list(ENGINES) if engine == AUTO else [engine]
    reasons = {name: unsupported_reason(name, settings, backbone) for name in names}
    usable = [name for name, reason in reasons.items() if reason is None]
    if not usable:
        raise InputError(
            f"`precision={settings.precision!r}` is not available here: {'; '.join(map(str, reasons.values()))}."
            if engine == AUTO
            else f"`engine={engine!r}` is not available here: {reasons[engine]}.",
            hint="Use another `precision`, `engine` or `device`.",
        )
    return usable


def unsupported_reason(name: str, settings: EngineSettings, backbone: Backbone | None = None) -> str | None:
    """Return why an engine can't run a backbone with some settings here; None where it can."""
    if backbone is not None and backbone.openvino_graph is not None and name != backbone.reference:
        return f"{backbone.spec.name} is an ONNX file, which only OpenVINO runs"
    return ENGINES[name].unsupported_reason(settings)


def devices_for(backbone: Backbone, names: str = AUTO) -> tuple[str, ...]:
    """Resolve the device names of `--device` for a backbone: the CPU for one that only OpenVINO runs.

    Raises:
        InputError: As in `find_devices`.
    """
    is_cpu = backbone.openvino_graph is not None and names in (AUTO, "cpu")
    return ("CPU:0",) if is_cpu else find_devices(names)

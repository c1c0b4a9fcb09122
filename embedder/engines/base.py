"""The contract of an engine, and the table of engines: TensorFlow and OpenVINO."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

from frieze.core import Floats, InputError
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.settings import AUTO, EngineSettings
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


REFERENCE = "tensorflow"
"""The engine that all others are compared with, in float32."""


def usable_engines(engine: str, settings: EngineSettings) -> list[str]:
    """List the engines that can run here, the reference first.

    Args:
        engine: A key of `ENGINES`, or `auto` for any.
        settings: Precision and devices.

    Raises:
        InputError: The name is unknown, or no engine supports the settings.
    """
    if engine not in (AUTO, *ENGINES):
        raise InputError(f"Unknown engine: {engine}.", hint=f"Use one of: auto, {', '.join(ENGINES)}.")
    names = list(ENGINES) if engine == AUTO else [engine]
    reasons = {name: ENGINES[name].unsupported_reason(settings) for name in names}
    usable = [name for name, reason in reasons.items() if reason is None]
    if not usable:
        raise InputError(
            f"`precision={settings.precision!r}` is not available here: {'; '.join(map(str, reasons.values()))}."
            if engine == AUTO
            else f"`engine={engine!r}` is not available here: {reasons[engine]}.",
            hint="Use another `precision`, `engine` or `device`.",
        )
    return usable

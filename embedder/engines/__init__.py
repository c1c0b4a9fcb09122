"""Engines: what runs a backbone on batches of pixels."""

from typing import Protocol

from embedder.backbones import Backbone
from embedder.engines.tensorflow import TensorFlowEngine
from embedder.preprocessing import Pixels
from features import Floats, InputError

__all__ = ["ENGINES", "Engine", "choose_engine"]


class Engine(Protocol):
    """Runs one backbone.

    Attributes:
        name: Key in `ENGINES`.
        device: Where pixels are wanted, as TensorFlow names it; None for the host's memory.
        batch_size: Images a batch that suit it.
    """

    name: str
    device: str | None
    batch_size: int

    def infer(self, pixels: Pixels) -> Floats:
        """Embed uint8 [B, H, W, 3] as float32 [B, D]."""


ENGINES = {"tensorflow": TensorFlowEngine}


def choose_engine(name: str, backbone: Backbone) -> Engine:
    """Make an engine for a backbone.

    Args:
        name: A key of `ENGINES`, or `auto`.
        backbone: What it runs.

    Raises:
        InputError: The name is unknown.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(f"Unknown engine: {name}.", mend=f"Use one of: auto, {', '.join(ENGINES)}.")
    return ENGINES["tensorflow" if name == "auto" else name](backbone)

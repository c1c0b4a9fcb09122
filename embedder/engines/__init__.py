"""Engines: what runs a backbone on batches of pixels."""

from frieze.embedder.engines.base import ENGINES, REFERENCE, Engine, usable
from frieze.embedder.engines.devices import AUTO, are_gpus, find_devices
from frieze.embedder.engines.settings import Setting

__all__ = ["AUTO", "ENGINES", "REFERENCE", "Engine", "Setting", "are_gpus", "find_devices", "usable"]

"""Engines: what runs a backbone on batches of pixels."""

from frieze.embedder.engines.base import ENGINES, REFERENCE, Engine, usable_engines
from frieze.embedder.engines.settings import AUTO, EngineSettings, are_gpus, find_devices

__all__ = ["AUTO", "ENGINES", "REFERENCE", "Engine", "EngineSettings", "are_gpus", "find_devices", "usable_engines"]

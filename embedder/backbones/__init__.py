"""Backbones: whatever their origin, one frozen callable with its preprocessing inside, and a spec."""

from frieze.embedder.backbones.fingerprint import without_loading
from frieze.embedder.backbones.open import list_backbones, open_backbone, reopen_backbone
from frieze.embedder.backbones.request import NETWORK, OPTION, PRECISIONS, TABLE, Backbone, BackboneRequest

__all__ = [
    "NETWORK",
    "OPTION",
    "PRECISIONS",
    "TABLE",
    "Backbone",
    "BackboneRequest",
    "list_backbones",
    "open_backbone",
    "reopen_backbone",
    "without_loading",
]

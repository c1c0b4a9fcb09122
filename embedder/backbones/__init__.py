"""Backbones: networks from any origin, opened as one callable with preprocessing inside, and a spec."""

from frieze.embedder.backbones.base import NETWORK, OPTION, TABLE, Backbone
from frieze.embedder.backbones.fingerprint import fingerprint_of_files
from frieze.embedder.backbones.open import list_backbones, open_backbone, reopen_backbone
from frieze.embedder.backbones.request import PRECISIONS, BackboneRequest

__all__ = [
    "NETWORK",
    "OPTION",
    "PRECISIONS",
    "TABLE",
    "Backbone",
    "BackboneRequest",
    "fingerprint_of_files",
    "list_backbones",
    "open_backbone",
    "reopen_backbone",
]

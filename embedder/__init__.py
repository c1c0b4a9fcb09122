"""Images -> embeddings: sources, decoding, backbones, engines, the job."""

from embedder.backbones import (
    Backbone,
    BackboneRequest,
    list_backbones,
    open_backbone,
    reopen_backbone,
)
from embedder.decoding import decode
from embedder.engines import ENGINES
from embedder.job import embed_source
from embedder.options import JobOptions
from embedder.pipeline import read
from embedder.preprocessing import FITS, PIXELS
from embedder.queries import embed_images
from embedder.sources import LABELS, list_source

__all__ = [
    "ENGINES",
    "FITS",
    "LABELS",
    "PIXELS",
    "Backbone",
    "BackboneRequest",
    "JobOptions",
    "decode",
    "embed_images",
    "embed_source",
    "list_backbones",
    "list_source",
    "open_backbone",
    "read",
    "reopen_backbone",
]

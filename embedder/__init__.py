"""Images -> embeddings: sources, decoding, backbones, engines, the job."""

from embedder.backbones import (
    PRECISIONS,
    Backbone,
    BackboneRequest,
    list_backbones,
    open_backbone,
    reopen_backbone,
)
from embedder.decoding import MAX_BYTES, MAX_PIXELS, Limits, decode
from embedder.drift import LEAST_COSINE
from embedder.engines import ENGINES
from embedder.estimate import estimate_source
from embedder.job import embed_source
from embedder.options import JobOptions
from embedder.preprocessing import FITS, PIXELS
from embedder.queries import embed_images
from embedder.resampling import embed_again
from embedder.sources import LABELS, SourceOptions, open_source, read_image

__all__ = [
    "ENGINES",
    "FITS",
    "LABELS",
    "LEAST_COSINE",
    "MAX_BYTES",
    "MAX_PIXELS",
    "PIXELS",
    "PRECISIONS",
    "Backbone",
    "BackboneRequest",
    "JobOptions",
    "Limits",
    "SourceOptions",
    "decode",
    "embed_again",
    "embed_images",
    "embed_source",
    "estimate_source",
    "list_backbones",
    "open_backbone",
    "open_source",
    "read_image",
    "reopen_backbone",
]

"""Images -> embeddings: sources, decoding, backbones, engines, the job."""

import importlib
from typing import TYPE_CHECKING, Any

from embedder.backbones import (
    PRECISIONS,
    Backbone,
    BackboneRequest,
    list_backbones,
    open_backbone,
    reopen_backbone,
)
from embedder.choosing import default_engine
from embedder.cluster import ClusterRun
from embedder.crew import Answer, Member, Place
from embedder.decoding import MAX_BYTES, MAX_PIXELS, Limits, decode
from embedder.decoding_tally import describe_tally
from embedder.drift import LEAST_COSINE, measure_drift
from embedder.engines import ENGINES, Setting, find_devices
from embedder.estimate import estimate_source
from embedder.graph import decode_batch, fit_batch, freeze_with
from embedder.images import image_reader
from embedder.job import embed_source
from embedder.options import JobOptions
from embedder.pipeline import decode_for
from embedder.preprocessing import FITS, PIXELS
from embedder.queries import embed_images
from embedder.resampling import embed_again
from embedder.run import make_run
from embedder.sources import (
    LABELS,
    LabelFile,
    Source,
    SourceOptions,
    as_images,
    open_source,
    read_image,
    read_labels,
)
from embedder.stages import Stages
from embedder.stored_request import recall
from embedder.trunk import Trunk, open_trunk
from embedder.tuning import measure_rate, try_engines
from embedder.worker import Outcome

if TYPE_CHECKING:
    from embedder.hub_layer import HubLayer

__all__ = [
    "ENGINES",
    "FITS",
    "LABELS",
    "LEAST_COSINE",
    "MAX_BYTES",
    "MAX_PIXELS",
    "PIXELS",
    "PRECISIONS",
    "Answer",
    "Backbone",
    "BackboneRequest",
    "ClusterRun",
    "HubLayer",
    "JobOptions",
    "LabelFile",
    "Limits",
    "Member",
    "Outcome",
    "Place",
    "Setting",
    "Source",
    "SourceOptions",
    "Stages",
    "Trunk",
    "as_images",
    "decode",
    "decode_batch",
    "decode_for",
    "default_engine",
    "describe_tally",
    "embed_again",
    "embed_images",
    "embed_source",
    "estimate_source",
    "find_devices",
    "fit_batch",
    "freeze_with",
    "image_reader",
    "list_backbones",
    "make_run",
    "measure_drift",
    "measure_rate",
    "open_backbone",
    "open_source",
    "open_trunk",
    "read_image",
    "read_labels",
    "recall",
    "reopen_backbone",
    "try_engines",
]


def __getattr__(name: str) -> Any:
    # A class of Keras's: only who asks for it waits for Keras and TensorFlow.
    if name != "HubLayer":
        raise AttributeError(f"module 'embedder' has no attribute {name!r}")
    return importlib.import_module("embedder.hub_layer").HubLayer

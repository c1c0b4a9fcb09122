"""Images -> embeddings: sources, decoding, backbones, engines, the job."""

import importlib
from typing import TYPE_CHECKING, Any

from frieze.embedder.backbones import PRECISIONS, Backbone, BackboneRequest
from frieze.embedder.backbones.in_program import as_backbone
from frieze.embedder.backbones.kept_graph import cache_dir as graph_cache_dir
from frieze.embedder.backbones.kept_graph import clear_graphs, has_graph, list_graphs
from frieze.embedder.backbones.open import list_backbones, load_backbone, open_backbone, reopen_backbone
from frieze.embedder.backbones.open_text_encoder import WITH_WORDS, open_text_encoder
from frieze.embedder.backbones.pooling import POOLS
from frieze.embedder.backbones.text_encoder import TextEncoder, class_prompts, note_on_cut, split_prompts
from frieze.embedder.backbones.trainable import TrainableBackbone, open_trainable
from frieze.embedder.cluster.driver import ClusterDriver
from frieze.embedder.cluster.worker import SliceResult
from frieze.embedder.cluster.worker_pool import Reply, Slot, WorkerHandle
from frieze.embedder.dry_run import estimate_source, estimate_tables
from frieze.embedder.embed import TableRequest, embed_source, embed_tables
from frieze.embedder.engines import EngineSettings, find_devices
from frieze.embedder.engines.accuracy import LEAST_COSINE, measure_drift
from frieze.embedder.engines.base import ENGINES
from frieze.embedder.engines.benchmark import measure_rate, try_engines
from frieze.embedder.engines.keep_graph import ship_graph
from frieze.embedder.images.decode import decode
from frieze.embedder.images.decode_processes import DecodeProcesses
from frieze.embedder.images.decoding_tally import describe_tally
from frieze.embedder.images.jpeg import is_small_jpeg
from frieze.embedder.images.limits import MAX_BYTES, MAX_PIXELS, Limits
from frieze.embedder.images.open_image import has_several, open_image
from frieze.embedder.images.prepare import decode_for
from frieze.embedder.images.resize import FITS, PIXELS
from frieze.embedder.in_graph import ONNX_INPUT, ONNX_OUTPUT, decode_batch, fit_batch, freeze_with, to_onnx
from frieze.embedder.job.decoder import Decoder
from frieze.embedder.job.options import JobOptions
from frieze.embedder.job.pipeline import stream
from frieze.embedder.job.run import plan_run
from frieze.embedder.job.select_engine import default_engine
from frieze.embedder.job.single_images import DescribedImages, describe_images, embed_images, image_reader, read_file
from frieze.embedder.job.spot_check import spot_check
from frieze.embedder.job.stored_request import recall_embed_options
from frieze.embedder.job.timing import StageTimes
from frieze.embedder.job.try_backbones import TriedBackbone, TriedSample, draw_sample, try_backbones
from frieze.embedder.job.try_precisions import try_precisions
from frieze.embedder.sources import (
    LABEL_COLUMNS,
    LABELS_OVER,
    LabelFile,
    Source,
    SourceOptions,
    as_images,
    read_labels,
    split_part,
)
from frieze.embedder.sources.base import Listing
from frieze.embedder.sources.boxes.crop import in_full
from frieze.embedder.sources.files import to_path
from frieze.embedder.sources.open import LABELS, open_source, read_image

if TYPE_CHECKING:
    from frieze.embedder.backbones.hub_layer.layer import HubLayer
    from frieze.embedder.image_embedder import ImageEmbedder

__all__ = [
    "ENGINES",
    "FITS",
    "LABELS",
    "LABELS_OVER",
    "LABEL_COLUMNS",
    "LEAST_COSINE",
    "MAX_BYTES",
    "MAX_PIXELS",
    "ONNX_INPUT",
    "ONNX_OUTPUT",
    "PIXELS",
    "POOLS",
    "PRECISIONS",
    "WITH_WORDS",
    "Backbone",
    "BackboneRequest",
    "ClusterDriver",
    "DecodeProcesses",
    "Decoder",
    "DescribedImages",
    "EngineSettings",
    "HubLayer",
    "ImageEmbedder",
    "JobOptions",
    "LabelFile",
    "Limits",
    "Listing",
    "Reply",
    "SliceResult",
    "Slot",
    "Source",
    "SourceOptions",
    "StageTimes",
    "TableRequest",
    "TextEncoder",
    "TrainableBackbone",
    "TriedBackbone",
    "TriedSample",
    "WorkerHandle",
    "as_backbone",
    "as_images",
    "class_prompts",
    "clear_graphs",
    "decode",
    "decode_batch",
    "decode_for",
    "default_engine",
    "describe_images",
    "describe_tally",
    "draw_sample",
    "embed_images",
    "embed_source",
    "embed_tables",
    "estimate_source",
    "estimate_tables",
    "find_devices",
    "fit_batch",
    "freeze_with",
    "graph_cache_dir",
    "has_graph",
    "has_several",
    "image_reader",
    "in_full",
    "is_small_jpeg",
    "list_backbones",
    "list_graphs",
    "load_backbone",
    "measure_drift",
    "measure_rate",
    "note_on_cut",
    "open_backbone",
    "open_image",
    "open_source",
    "open_text_encoder",
    "open_trainable",
    "plan_run",
    "read_file",
    "read_image",
    "read_labels",
    "recall_embed_options",
    "reopen_backbone",
    "ship_graph",
    "split_part",
    "split_prompts",
    "spot_check",
    "stream",
    "to_onnx",
    "to_path",
    "try_backbones",
    "try_engines",
    "try_precisions",
]

# Subclasses of a Keras layer and a scikit-learn estimator: imported on first use, for these libraries load slowly.
_LATE = {
    "HubLayer": "frieze.embedder.backbones.hub_layer.layer",
    "ImageEmbedder": "frieze.embedder.image_embedder",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'frieze.embedder' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)

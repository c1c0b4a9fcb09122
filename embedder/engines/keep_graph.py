"""Keep a backbone's graph, once its embeddings agree with TensorFlow's, so that later starts need no TensorFlow."""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import FeatureFileError, MismatchError, ModelError, import_openvino
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.kept_graph import SHIPPED, graph_folder, is_writable, store_graph
from frieze.embedder.engines.accuracy import check_drift, measure_drift
from frieze.embedder.engines.base import ENGINES, REFERENCE
from frieze.embedder.engines.openvino import OpenVINOEngine, read_graph
from frieze.embedder.engines.settings import EngineSettings
from frieze.embedder.images.resize import Pixels

_LOG = logging.getLogger("frieze")
_MOST_PROBES, _PROBED_PIXELS = 16, 16 * 224 * 224
"""How many synthetic images are compared, and of how many pixels in all: a large network would take minutes."""
_CPU = EngineSettings(devices=("CPU:0",), batch_size=1, streams=1)


def keep_graph(backbone: Backbone) -> None:
    """Keep the graph of a backbone that TensorFlow has loaded; nothing happens where that is not possible.

    That is where OpenVINO is not installed, can't run the network, is not exact or reads the network's own file,
    where the user has no folder for caches, and for a network whose files do not tell all of it: one that was run
    with trust, that Kaggle's library downloaded, that changed while it was loaded, or has Keras layers of
    somebody's own.
    """
    has_graph = backbone.graph_path is not None or backbone.openvino_graph is not None
    if has_graph or OpenVINOEngine.unsupported_reason(_CPU) is not None or not is_writable():
        return
    folder = graph_folder(backbone)
    if folder is None or not has_only_keras_layers(backbone.model):
        return
    try:
        with contextlib.suppress(ModelError, MismatchError):
            write_graph(backbone, folder)
    except (FeatureFileError, OSError, RuntimeError) as error:  # RuntimeError: OpenVINO's, of a full disk
        reason = error.message if isinstance(error, FeatureFileError) else str(error)
        _LOG.warning("The compiled backbone is not kept, so each start loads TensorFlow: %s", reason)


def has_only_keras_layers(model: Any) -> bool:
    """Return whether Keras and KerasHub define all of a model: others' code is not in its file; True for no model."""
    return model is None or _is_of_keras(json.loads(model.to_json()))


_KNOWN = ("keras", "keras_hub")


def _is_of_keras(config: Any) -> bool:
    if isinstance(config, list):
        return all(map(_is_of_keras, config))
    if not isinstance(config, dict):
        return True
    is_object = {"class_name", "config", "module"} <= config.keys()
    is_known = not is_object or str(config["module"]).split(".")[0] in _KNOWN
    return is_known and all(map(_is_of_keras, config.values()))


def ship_graph(backbone: Backbone) -> None:
    """Write the graph of `builtin` into the package."""
    write_graph(backbone, SHIPPED, is_half=True)


def write_graph(backbone: Backbone, folder: Path, *, is_half: bool = False) -> None:
    """Compare the graph with the reference on synthetic images, and store it.

    Args:
        backbone: Loaded by TensorFlow.
        folder: Where to.
        is_half: Store weights as float16: without a loss where they were stored so before.

    Raises:
        ModelError: OpenVINO can't run the backbone.
        MismatchError: Its embeddings drift too far from TensorFlow's.
        FeatureFileError: The disk is full or the cache can't be written.
    """
    pixels = _probes(backbone.spec.image_size)
    reference = ENGINES[REFERENCE](backbone, _CPU).infer(pixels)
    drift = measure_drift(OpenVINOEngine(backbone, _CPU).infer(pixels), reference)
    check_drift(drift, engine=OpenVINOEngine.name, precision="float32")
    store_graph(backbone, folder, drift | {"synthetic": True}, lambda path: _save(backbone, path, is_half=is_half))


def _save(backbone: Backbone, path: Path, *, is_half: bool) -> None:
    openvino = import_openvino()

    openvino.save_model(read_graph(backbone), path, compress_to_fp16=is_half)


def _probes(size: tuple[int, int]) -> Pixels:
    """Return uint8 [n, H, W, 3]: smooth pictures and noise, the same each time."""
    rng, n_probes = np.random.default_rng(0), min(_MOST_PROBES, max(2, _PROBED_PIXELS // (size[0] * size[1])))
    rows, columns = (np.linspace(0, 1, side)[:, None] for side in size)
    waves = rng.uniform(1, 12, (n_probes, 3, 2))
    smooth = np.sin(rows * waves[..., None, :1] + columns.T * waves[..., None, 1:]).transpose(0, 2, 3, 1)
    noise = rng.normal(size=smooth.shape) * np.linspace(0, 1, n_probes)[:, None, None, None]
    return np.clip(127.5 + 100 * (smooth + noise), 0, 255).astype(np.uint8)

"""`builtin`: the small network that comes with the package (docs/builtin.md), run as a plain TensorFlow graph.

Building its Keras layers would take half a second.
"""

import collections
import functools
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import import_tensorflow
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.base import Network, StatedPixels
from frieze.embedder.backbones.catalogue import BUILTIN, BUILTIN_FILE, BUILTIN_MODEL, BUILTIN_NAME
from frieze.embedder.backbones.keras_file import cut_model, load_model
from frieze.embedder.backbones.request import BackboneRequest


def open_builtin(request: BackboneRequest) -> Network:
    """Load the network, or a layer of it.

    Raises:
        ModelError: The network has no such layer.
    """

    def load() -> Any:
        return cut_model(load_model(BUILTIN_FILE), request.layer)

    return Network(
        name=BUILTIN_NAME,
        handle=BUILTIN,
        fingerprint=fingerprint.of_file(BUILTIN_NAME, BUILTIN_FILE),
        image_size=(BUILTIN_MODEL.side_px, BUILTIN_MODEL.side_px),
        read_pixels=lambda: StatedPixels(BUILTIN_MODEL.pixels),
        call=load_graph(BUILTIN_FILE) if request.layer is None else functools.partial(load(), training=False),
        model=load,  # a new one each time, because it may be trained
    )


def load_graph(path: Path) -> Callable[[Any], Any]:
    """Load a functional Keras model of one input and one output as a graph, with constant weights.

    Args:
        path: The file; its layers are Conv2D and Dense with a bias and no activation, Add, Concatenate along the last
            axis, GlobalAveragePooling2D, ReLU and ZeroPadding2D.

    Returns:
        TensorFlow function: float32 [B, H, W, C] -> float32 [B, D], equal to Keras; ValueError for another size.
    """
    import h5py

    with zipfile.ZipFile(path) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            weights = _weights(file, layers)

    size = layers[0]["config"]["batch_shape"][1:]

    def embed(images: Any) -> Any:
        if list(images.shape[1:]) != size:
            raise ValueError(f"expected are images {size}, these are {list(images.shape[1:])}")
        outputs = {layers[0]["name"]: images}
        for layer in layers[1:]:
            inputs = [outputs[name] for name in _inputs(layer)]
            outputs[layer["name"]] = _KINDS[layer["class_name"]](
                layer["config"], weights.get(layer["name"], ()), inputs
            )
        return outputs[layers[-1]["name"]]

    return embed


def _weights(file: Any, layers: list[dict[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Load each layer's kernel and bias: Keras stores them by kind, numbered from the second one on."""
    numbers: dict[str, Iterator[int]] = collections.defaultdict(itertools.count)
    weights = {}
    for layer in layers:
        kind = layer["class_name"].lower()
        if kind in ("conv2d", "dense"):
            number = next(numbers[kind])
            stored = file[f"layers/{kind}_{number}/vars" if number else f"layers/{kind}/vars"]
            weights[layer["name"]] = (np.asarray(stored["0"], np.float32), np.asarray(stored["1"], np.float32))
    return weights


def _inputs(layer: dict[str, Any]) -> list[str]:
    (arguments,) = layer["inbound_nodes"][0]["args"]
    return [one["config"]["keras_history"][0] for one in (arguments if isinstance(arguments, list) else [arguments])]


def _convolve(config: dict[str, Any], weights: tuple[Any, ...], inputs: list[Any]) -> Any:
    tf = import_tensorflow()
    kernel, bias = weights
    return tf.nn.conv2d(inputs[0], kernel, config["strides"], config["padding"].upper()) + bias


def _pad(config: dict[str, Any], _: tuple[Any, ...], inputs: list[Any]) -> Any:
    return import_tensorflow().pad(inputs[0], [(0, 0), *config["padding"], (0, 0)])


_KINDS: dict[str, Callable[[dict[str, Any], tuple[Any, ...], list[Any]], Any]] = {
    "Add": lambda _, __, inputs: inputs[0] + inputs[1],
    "Concatenate": lambda _, __, inputs: import_tensorflow().concat(inputs, axis=-1),
    "Conv2D": _convolve,
    "Dense": lambda _, weights, inputs: inputs[0] @ weights[0] + weights[1],
    "GlobalAveragePooling2D": lambda _, __, inputs: import_tensorflow().reduce_mean(inputs[0], axis=(1, 2)),
    "ReLU": lambda _, __, inputs: import_tensorflow().nn.relu(inputs[0]),
    "ZeroPadding2D": _pad,
}

"""A trainable Keras model: its last layers are unfrozen for fine-tuning, and it is saved as a new backbone."""

import contextlib
import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core import InputError, import_keras
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.keras_file import outputs_of
from frieze.embedder.backbones.pooling import pool_keras_tensor
from frieze.embedder.backbones.trainable.base import (
    ALL,
    MAPS_RANK,
    count_parameters,
    inference_mode,
    save_module,
)
from frieze.embedder.images.resize import PIXELS

_DEFAULT_FREE = 20  # source: Keras' guide to fine-tuning, which frees the top 20 layers

_BYTES = 4  # of a float32

_KEPT = 2  # activations kept for the backward pass, and their gradient


class TrainableKerasModel:
    """A Keras model: layers from one on are free, in the order of `model.layers`."""

    def __init__(self, backbone: Backbone, unfreeze: str | None) -> None:
        self.spec, self._model = backbone.spec, backbone.model
        layers = self._model.layers
        self._first = _first_free(self.spec.name, [layer.name for layer in layers], unfreeze)
        self.maps = self._flattened()
        self._model.trainable = True
        self._learnable = {id(weight) for weight in self._model.trainable_weights}
        for number, layer in enumerate(layers):
            layer.trainable = number >= self._first
        self.n_free = count_parameters(self._model.trainable_weights)
        self.free = f"{len(layers) - self._first} of {len(layers)} layers, from {layers[self._first].name} on"
        if not self.n_free:
            raise InputError(
                f"{self.free}: none of them has weights to train.", hint="Unfreeze more layers with `unfreeze`."
            )

    def embeddings(self, images: Any) -> Any:
        """Return [B, D] for float32 [B, H, W, 3] in [0, 1]."""
        return pool_keras_tensor(inference_mode(self._model)(PIXELS[self.spec.pixels](images)), self.spec.pool)

    def split(self) -> tuple[Any, Any]:
        """Split where the free layers begin; skip connections across the cut become inputs too."""
        keras = import_keras()

        operations = self._model.operations  # layers, and operations such as a + b
        cuts = _cuts(operations, operations.index(self._model.layers[self._first]))
        if self._first == 0 or not cuts:
            raise InputError("Every layer is free: there is no frozen part to keep.", hint="Leave `cache` out.")
        images = keras.Input((*self.spec.image_size, 3))
        lower = keras.Model(self._model.inputs[0], cuts)
        maps = inference_mode(lower)(PIXELS[self.spec.pixels](images))
        inputs = [keras.Input(cut.shape[1:]) for cut in cuts]
        upper = keras.Model(cuts, self._model.outputs[0])
        embeddings = pool_keras_tensor(inference_mode(upper)(inputs), self.spec.pool)
        return keras.Model(images, maps), keras.Model(inputs, embeddings)

    @contextlib.contextmanager
    def computing(self, policy: str) -> Iterator[str]:
        """Compute by a dtype policy, except in layers with code of somebody's own, which may rely on float32."""
        keras = import_keras()

        layers = [
            layer
            for layer in self._model._flatten_layers()  # noqa: SLF001  also those inside of wrappers
            if layer.dtype_policy.name == "float32" and _is_keras_own(layer, keras)
        ]
        try:
            for layer in layers:
                layer.dtype_policy = policy
            yield policy
        finally:
            for layer in layers:
                layer.dtype_policy = "float32"

    def count_bytes(self, batch_size: int) -> int:
        """Estimate bytes: activations of free layers, the largest frozen layers, weights and Adam's moments."""
        sizes = [_count(shape) * batch_size * _BYTES for shape in self._shapes()]
        frozen, free = sorted(sizes[: self._first]), sizes[self._first :]
        weights = count_parameters(self._model.weights) + 3 * self.n_free
        return sum(frozen[-3:]) + _KEPT * sum(free) + weights * _BYTES

    def _flattened(self) -> tuple[int, int, int] | None:
        """Return the shape of the maps that the last layer flattens; None for another layer."""
        keras, last = import_keras(), self._model.layers[-1]
        if not isinstance(last, keras.layers.Flatten) or len(last.input.shape) != MAPS_RANK:
            return None
        maps = keras.Model(self._model.inputs[0], last.input)
        _, height, width, channels = maps.compute_output_shape((1, *self.spec.image_size, 3))
        return int(height), int(width), int(channels)

    def _shapes(self) -> list[Any]:
        """Return the output shape of each layer for the spec's image size."""
        outputs = [one[0] if len(one) == 1 else one for one in map(outputs_of, self._model.layers)]
        whole = import_keras().Model(self._model.inputs[0], outputs)
        shapes: list[Any] = whole.compute_output_shape((1, *self.spec.image_size, 3))
        return shapes

    def save(self, folder: Path) -> None:
        """Write a SavedModel in hub form."""
        learnable = [weight.value for weight in self._model.weights if id(weight) in self._learnable]
        save_module(folder, self.embeddings, [weight.value for weight in self._model.weights], learnable, self.spec)


def _first_free(model: str, names: list[str], unfreeze: str | None) -> int:
    """Return the number of the first free layer."""
    if unfreeze is None:
        return max(0, len(names) - _DEFAULT_FREE)
    if unfreeze == ALL:
        return 0
    if unfreeze.isdecimal() and 1 <= int(unfreeze) <= len(names):
        return len(names) - int(unfreeze)
    if unfreeze in names:
        return names.index(unfreeze)
    near = difflib.get_close_matches(unfreeze, names, n=5, cutoff=0.3) or names[-5:]
    raise InputError(
        f"{model} has {len(names)} layers, and none named {unfreeze}.",
        hint=f"Set `unfreeze` to a number from 1 to {len(names)}, all, or a layer's name, such as {', '.join(near)}",
    )


def _is_keras_own(layer: Any, keras: Any) -> bool:
    return type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.layers.Lambda)


def _cuts(operations: list[Any], n_frozen: int) -> list[Any]:
    """Return the outputs of frozen operations that free operations take, each once."""
    frozen = {id(operation) for operation in operations[:n_frozen]}
    taken: dict[int, Any] = {}
    for operation in operations[n_frozen:]:
        for tensor in _inputs(operation):
            if id(tensor._keras_history.operation) in frozen:  # noqa: SLF001  Keras has no public way
                taken[id(tensor)] = tensor
    return list(taken.values())


def _inputs(operation: Any) -> list[Any]:
    return [tensor for node in operation._inbound_nodes for tensor in node.input_tensors]  # noqa: SLF001  as above


def _count(shape: Any) -> int:
    """Count the values of a layer's output for an image; a layer may have several outputs."""
    return math.prod(shape[1:]) if isinstance(shape[0], int) else sum(map(_count, shape))

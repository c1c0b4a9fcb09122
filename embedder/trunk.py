"""A backbone that learns: its top set free, trained by whoever holds it, and stored as a backbone of its own."""

import difflib
import math
from pathlib import Path
from typing import Any, Protocol

from embedder.backbones import Backbone, BackboneRequest, open_backbone
from embedder.backbones.keras_file import outputs_of
from embedder.preprocessing import PIXELS
from features import BackboneSpec, InputError, ModelError, clear_errors, import_keras, import_tensorflow

ALL = "all"
_USUAL = 20  # source: Keras' guide to fine-tuning, which frees the top 20 layers
_MAPS_RANK = 4  # [B, h, w, D]
_BYTES = 4  # of a float32
_KEPT = 2  # what is kept of a layer for the way back, and its gradient


class Trunk(Protocol):
    """A backbone whose top is free to learn, in inference mode whatever else trains: its statistics stay.

    Attributes:
        spec: Of the backbone as it was opened.
        free: What learns, in words.
        n_free: Numbers that learn.
        maps: Height, width and channels of the maps that its embeddings are laid end to end; None where they are not.
    """

    spec: BackboneSpec
    free: str
    n_free: int
    maps: tuple[int, int, int] | None

    def embeddings(self, images: Any) -> Any:
        """Give [B, D] for float32 [B, H, W, 3] in [0, 1]; tensors or symbols of Keras."""

    def split(self) -> tuple[Any, Any]:
        """Give the frozen part as a Keras model, images in [0, 1] -> maps, and the rest, maps -> [B, D].

        Raises:
            InputError: It can't be split.
        """

    def count_bytes(self, batch_size: int) -> int:
        """Estimate what a training step takes in memory."""

    def save(self, folder: Path) -> None:
        """Write a SavedModel in hub form: called with float32 [B, H, W, 3] in [0, 1] it gives [B, D]."""


def open_trunk(request: BackboneRequest, *, unfreeze: str | None = None) -> Trunk:
    """Open a backbone to train its top.

    Args:
        request: What is asked for.
        unfreeze: Of a Keras model: the number of last layers, the name of the first free layer, or `all`. Of a
            SavedModel: names of variables or patterns such as `block_16/*`, with commas between, or `all`. None for the
            last 20 layers (all of a smaller model), or all variables.

    Raises:
        InputError: There is nothing of that name or number, or nothing to train.
        ModelError: It can't be found, loaded or understood.
    """
    backbone = open_backbone(request)
    if backbone.model is not None:
        return KerasTrunk(backbone, unfreeze)
    from embedder.module_trunk import ModuleTrunk

    return ModuleTrunk(backbone.spec, request, unfreeze or ALL)


class KerasTrunk:
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
        self.n_free = count_numbers(self._model.trainable_weights)
        self.free = f"{len(layers) - self._first} of {len(layers)} layers, from {layers[self._first].name} on"
        if not self.n_free:
            raise InputError(f"{self.free}: none of them has anything to learn.", mend="Give --unfreeze more layers.")

    def embeddings(self, images: Any) -> Any:
        """Give [B, D] for float32 [B, H, W, 3] in [0, 1]."""
        return pooled(still(self._model)(PIXELS[self.spec.pixels](images)))

    def split(self) -> tuple[Any, Any]:
        """Cut where the free layers begin; a connection that passes by is cut too."""
        keras = import_keras()

        operations = self._model.operations  # layers, and what is none: a sum written as a + b
        cuts = _cuts(operations, operations.index(self._model.layers[self._first]))
        if self._first == 0 or not cuts:
            raise InputError("Every layer is free: there is no frozen part to keep.", mend="Leave --cache out.")
        images = keras.Input((*self.spec.image_size, 3))
        lower = keras.Model(self._model.inputs[0], cuts)
        maps = still(lower)(PIXELS[self.spec.pixels](images))
        inputs = [keras.Input(cut.shape[1:]) for cut in cuts]
        upper = keras.Model(cuts, self._model.outputs[0])
        return keras.Model(images, maps), keras.Model(inputs, pooled(still(upper)(inputs)))

    def count_bytes(self, batch_size: int) -> int:
        """Count what free layers keep for the way back, the largest frozen layers, and weights with Adam's moments."""
        sizes = [_count(shape) * batch_size * _BYTES for shape in self._shapes()]
        frozen, free = sorted(sizes[: self._first]), sizes[self._first :]
        weights = count_numbers(self._model.weights) + 3 * self.n_free
        return sum(frozen[-3:]) + _KEPT * sum(free) + weights * _BYTES

    def _flattened(self) -> tuple[int, int, int] | None:
        """Give the shape of the maps that the last layer lays end to end, if it does."""
        keras, last = import_keras(), self._model.layers[-1]
        if not isinstance(last, keras.layers.Flatten) or len(last.input.shape) != _MAPS_RANK:
            return None
        maps = keras.Model(self._model.inputs[0], last.input)
        _, height, width, channels = maps.compute_output_shape((1, *self.spec.image_size, 3))
        return int(height), int(width), int(channels)

    def _shapes(self) -> list[Any]:
        """Give each layer's shape of output; a model may be open to images of any size."""
        outputs = [one[0] if len(one) == 1 else one for one in map(outputs_of, self._model.layers)]
        whole = import_keras().Model(self._model.inputs[0], outputs)
        shapes: list[Any] = whole.compute_output_shape((1, *self.spec.image_size, 3))
        return shapes

    def save(self, folder: Path) -> None:
        """Write a SavedModel in hub form."""
        learnable = [weight.value for weight in self._model.weights if id(weight) in self._learnable]
        save_module(folder, self.embeddings, [weight.value for weight in self._model.weights], learnable, self.spec)


def still(model: Any) -> Any:
    """Give a Keras layer that runs a model in inference mode, also where the network around it is in training.

    A functional model passes its own `training` to all layers in it, over the one that they were called with.
    """
    keras = import_keras()

    class Still(keras.layers.Layer):  # type: ignore[name-defined,misc]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def call(self, values: Any) -> Any:
            return self.model(values, training=False)

    return Still()


def count_numbers(weights: Any) -> int:
    """Count the numbers in Keras variables."""
    return sum(math.prod(weight.shape) for weight in weights)


def pooled(values: Any) -> Any:
    """Average maps [B, h, w, D] over height and width; [B, D] stays."""
    keras = import_keras()

    return keras.ops.mean(values, axis=(1, 2)) if len(values.shape) == _MAPS_RANK else values


def save_module(folder: Path, embeddings: Any, variables: Any, learnable: Any, spec: BackboneSpec) -> None:
    """Write a SavedModel in hub form.

    Args:
        folder: Where to.
        embeddings: float32 [B, H, W, 3] in [0, 1] -> [B, D].
        variables: All of them, as TensorFlow's.
        learnable: Those that may learn when it is fine-tuned again.
        spec: Says H and W.

    Raises:
        ModelError: TensorFlow can't write it.
    """
    tf = import_tensorflow()
    images = tf.TensorSpec([None, *spec.image_size, 3], tf.float32, name="images")
    module = tf.train.Checkpoint()  # a tf.Module has `variables` of its own, which aren't saved
    module.variables, module.trainable_variables, module.regularization_losses = variables, learnable, []
    call = tf.function(embeddings, [images], autograph=False)
    module.__call__ = call
    signature = tf.function(lambda images: {"feature_vector": call(images)}, [images], autograph=False)
    try:
        with clear_errors(folder):
            tf.saved_model.save(module, str(folder), signatures=signature)
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise ModelError(
            f"The backbone can't be written as a SavedModel: {str(error).splitlines()[0]}",
            mend="Free some space if the disk is full, and run the same command again: it goes on from here.",
        ) from error


def _first_free(model: str, names: list[str], unfreeze: str | None) -> int:
    """Give the number of the first free one of a model's layers."""
    if unfreeze is None:
        return max(0, len(names) - _USUAL)
    if unfreeze == ALL:
        return 0
    if unfreeze.isdecimal() and 1 <= int(unfreeze) <= len(names):
        return len(names) - int(unfreeze)
    if unfreeze in names:
        return names.index(unfreeze)
    near = difflib.get_close_matches(unfreeze, names, n=5, cutoff=0.3) or names[-5:]
    raise InputError(
        f"{model} has {len(names)} layers, and none named {unfreeze}.",
        mend=f"Give --unfreeze a number from 1 to {len(names)}, all, or a layer's name, such as {', '.join(near)}",
    )


def _cuts(operations: list[Any], n_frozen: int) -> list[Any]:
    """Give the outputs of frozen operations that the others take, each once."""
    frozen = {id(operation) for operation in operations[:n_frozen]}
    taken: dict[int, Any] = {}
    for operation in operations[n_frozen:]:
        for tensor in _inputs(operation):
            if id(tensor._keras_history.operation) in frozen:  # noqa: SLF001  Keras has no other way to ask
                taken[id(tensor)] = tensor
    return list(taken.values())


def _inputs(operation: Any) -> list[Any]:
    return [tensor for node in operation._inbound_nodes for tensor in node.input_tensors]  # noqa: SLF001  as above


def _count(shape: Any) -> int:
    """Count the numbers of a layer's output for an image; a layer may have several outputs."""
    return math.prod(shape[1:]) if isinstance(shape[0], int) else sum(map(_count, shape))

"""What can be done with any trainable backbone."""

import math
from pathlib import Path
from typing import Any, Protocol

from frieze.core import ModelError, import_keras, import_tensorflow, translate_io_errors
from frieze.features import BackboneSpec

ALL = "all"


_MAPS_RANK = 4  # [B, h, w, D]


class TrainableBackbone(Protocol):
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


def inference_mode(model: Any) -> Any:
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


def global_average_pool(values: Any) -> Any:
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
        with translate_io_errors(folder):
            tf.saved_model.save(module, str(folder), signatures=signature)
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise ModelError(
            f"The backbone can't be written as a SavedModel: {str(error).splitlines()[0]}",
            hint="Free some space if the disk is full, and run the same command again: it goes on from here.",
        ) from error

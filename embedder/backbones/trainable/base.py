"""The interface of trainable backbones, and what they share: inference mode, pooling, saving."""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from frieze.core import ModelError, import_keras, import_tensorflow, translate_io_errors
from frieze.features import BackboneSpec

ALL = "all"


MAPS_RANK = 4  # [B, h, w, D]


class TrainableBackbone(Protocol):
    """A backbone with unfrozen last layers, always run in inference mode: batch norm statistics do not change.

    Attributes:
        spec: Spec of the backbone as opened.
        free: Description of what trains.
        n_free: Number of trainable parameters.
        maps: Height, width and channels of the maps that its embeddings flatten; None for other embeddings.
    """

    spec: BackboneSpec
    free: str
    n_free: int
    maps: tuple[int, int, int] | None

    def embeddings(self, images: Any) -> Any:
        """Return [B, D] for float32 [B, H, W, 3] in [0, 1]; eager or symbolic tensors."""

    def split(self) -> tuple[Any, Any]:
        """Split into the frozen part as a Keras model, images in [0, 1] -> maps, and the rest, maps -> [B, D].

        Raises:
            InputError: The backbone can't be split.
        """

    def computing(self, policy: str) -> AbstractContextManager[str]:
        """Compute by a Keras dtype policy such as `mixed_float16` while the block runs; the weights stay float32.

        Yields:
            The policy by which it computes: `float32` where its graph is of fixed types.
        """

    def count_bytes(self, batch_size: int) -> int:
        """Estimate the memory of a training step, in bytes."""

    def save(self, folder: Path) -> None:
        """Write a SavedModel in hub form: float32 [B, H, W, 3] in [0, 1] -> [B, D]."""


def inference_mode(model: Any) -> Any:
    """Return a Keras layer that runs a model in inference mode, even inside a model in training.

    A functional model passes its own `training` to all its layers, overriding the one they were called with.
    """
    keras = import_keras()

    class InferenceMode(keras.layers.Layer):  # type: ignore[name-defined,misc]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def call(self, values: Any) -> Any:
            return self.model(values, training=False)

    return InferenceMode()


def count_parameters(weights: Any) -> int:
    """Count the parameters in Keras variables."""
    return sum(math.prod(weight.shape) for weight in weights)


def save_module(folder: Path, embeddings: Any, variables: Any, learnable: Any, spec: BackboneSpec) -> None:
    """Write a SavedModel in hub form.

    Args:
        folder: The folder to write.
        embeddings: float32 [B, H, W, 3] in [0, 1] -> [B, D].
        variables: All TensorFlow variables.
        learnable: Variables that can be trained when it is fine-tuned again.
        spec: Spec with H and W.

    Raises:
        ModelError: TensorFlow can't write it.
    """
    tf = import_tensorflow()
    images = tf.TensorSpec([None, *spec.image_size, 3], tf.float32, name="images")
    module = tf.train.Checkpoint()  # `variables` of a tf.Module are not saved
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
            hint="Free some space if the disk is full, and run the same command again: it resumes here.",
        ) from error

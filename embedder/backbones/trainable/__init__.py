"""Backbones whose last layers are fine-tuned: open one, train it, save it as a SavedModel."""

from frieze.embedder.backbones import BackboneRequest
from frieze.embedder.backbones.base import no_tensorflow_error
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.backbones.trainable.base import ALL, TrainableBackbone
from frieze.embedder.backbones.trainable.keras_model import TrainableKerasModel

__all__ = ["TrainableBackbone", "open_trainable"]


def open_trainable(request: BackboneRequest, *, unfreeze: str | None = None) -> TrainableBackbone:
    """Open a backbone to fine-tune its last layers.

    Args:
        request: The requested backbone.
        unfreeze: For a Keras model: the number of last layers, the name of the first free layer, or `all`. For a
            SavedModel: names of variables or patterns such as `block_16/*`, separated by commas, or `all`. None for the
            last 20 layers (all of a smaller model), or all variables.

    Raises:
        InputError: `unfreeze` matches no layer or variable, or there is nothing to train.
        ModelError: The backbone can't be found, loaded or understood.
    """
    backbone = open_backbone(request)
    if backbone.openvino_graph is not None:
        raise no_tensorflow_error(backbone.spec.name)
    if backbone.model is not None:
        return TrainableKerasModel(backbone, unfreeze)
    from frieze.embedder.backbones.trainable.saved_model import TrainableSavedModel

    return TrainableSavedModel(backbone.spec, request, unfreeze or ALL)

"""Opening a backbone to train its last layers."""

from frieze.embedder.backbones import BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.backbones.trainable.base import ALL, TrainableBackbone
from frieze.embedder.backbones.trainable.keras_model import TrainableKerasModel


def open_trainable(request: BackboneRequest, *, unfreeze: str | None = None) -> TrainableBackbone:
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
        return TrainableKerasModel(backbone, unfreeze)
    from frieze.embedder.backbones.trainable.saved_model import ModuleTrunk

    return ModuleTrunk(backbone.spec, request, unfreeze or ALL)

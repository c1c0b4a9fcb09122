"""Images changed at random while a network learns: what is seen stays, how it is seen does not."""

from typing import Any

from features import import_keras

_ZOOM_OUT_OF = 0.25  # of the side; negative zooms in, so this cuts up to 44 % of the area off
_SHIFT = 0.1
_COLOUR = 0.2


def augmentation(seed: int) -> list[Any]:
    """Give Keras layers for images in [0, 1] that flip, crop and colour in training, and do nothing else.

    Args:
        seed: Decides what is drawn.
    """
    keras = import_keras()

    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomTranslation(_SHIFT, _SHIFT, fill_mode="reflect", seed=seed + 1),
        layers.RandomZoom((-_ZOOM_OUT_OF, 0.0), fill_mode="reflect", seed=seed + 2),
        layers.RandomBrightness(_COLOUR, value_range=(0.0, 1.0), seed=seed + 3),
        layers.RandomContrast(_COLOUR, value_range=(0.0, 1.0), seed=seed + 4),
    ]

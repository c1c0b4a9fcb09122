"""A `.keras` file: any Keras 3 model with one image input."""

import difflib
import importlib
from pathlib import Path
from typing import Any

from embedder.backbones import fingerprint
from embedder.backbones.request import BackboneRequest, Network
from features import ModelError, import_keras

_FLATTEN = ":flatten"
_SCALING = ("Rescaling", "Normalization")


def open_keras_file(request: BackboneRequest) -> Network:
    """Load a `.keras` file, without running code from it.

    Raises:
        ModelError: The file or the layer can't be used, or nobody says what range of pixels it wants.
    """
    path = Path(request.handle).absolute()
    digest = fingerprint.of_file("", path)
    model = load_model(path)
    if request.pixels is None and not _scales_itself(model):
        raise ModelError(
            f"{path} does not say what pixels it was trained on: no layer of it rescales them.",
            mend="Say so with --pixels 0..1, -1..1, 0..255, caffe or torch: a wrong range is a silent loss.",
        )
    cut = cut_model(model, request.layer)
    return Network(
        name=path.stem,
        handle=str(path),
        fingerprint=digest,
        image_size=_stated_size(model),
        pixels="0..255",  # what Rescaling and Normalization layers expect by custom; --pixels says otherwise
        call=lambda images: cut(images, training=False),
        model=lambda: cut,
    )


def load_model(path: Path) -> Any:
    """Load a Keras model in safe mode, uncompiled.

    Raises:
        ModelError: It can't be loaded, or would run code.
    """
    keras = import_keras()
    importlib.import_module("embedder.hub_layer")  # so that Keras knows our layer by name

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        if "safe_mode" in str(error):
            raise ModelError(
                f"{path} holds code of its own, and a .keras file is never trusted with that: {_first_sentence(error)}",
                mend="Whoever made it can export it as a SavedModel, with model.export('FOLDER'): give that folder.",
            ) from error
        raise ModelError(
            f"{path} can't be loaded by Keras {keras.__version__}: {error}.",
            mend="Save it with model.save('NAME.keras'), from layers that Keras itself has.",
        ) from error


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ", maxsplit=1)[0] + "."


def cut_model(model: Any, layer: str | None) -> Any:
    """Give the model from a model's input to a layer's output.

    Args:
        model: A Keras model with one input.
        layer: Name of the layer, with `:flatten` behind it for maps [h, w, c] as h * w * c numbers instead of
            their mean; None for the model's own output.

    Raises:
        ModelError: The model has no such layer, or several inputs or outputs.
    """
    keras = import_keras()

    if len(model.inputs) != 1:
        raise ModelError(
            f"{model.name} has {len(model.inputs)} inputs; wanted is one, for images.",
            mend="Save a model of one input.",
        )
    output = _only_output(model) if layer is None else _layer(model, layer.removesuffix(_FLATTEN)).output
    if layer is not None and layer.endswith(_FLATTEN):
        output = keras.layers.Flatten()(output)
    return keras.Model(model.inputs[0], output)  # inputs in a list of one would make Keras warn at every call


def _only_output(model: Any) -> Any:
    if len(model.outputs) != 1:
        names = ", ".join(model.output_names)
        raise ModelError(f"{model.name} has several outputs: {names}.", mend="Choose one with --layer NAME.")
    return model.outputs[0]


def _layer(model: Any, layer: str) -> Any:
    names = [one.name for one in model.layers]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=5, cutoff=0.3)
        raise ModelError(
            f"{model.name} has no layer {layer}.", mend=f"Near it are: {', '.join(near) or ', '.join(names[-5:])}."
        )
    return model.get_layer(layer)


def _scales_itself(model: Any) -> bool:
    return any(type(layer).__name__ in _SCALING for layer in model.layers[:4])


def _stated_size(model: Any) -> tuple[int, int] | None:
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))

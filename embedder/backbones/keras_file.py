"""`.keras` and `.h5` files: any Keras model with one image input."""

import contextlib
import difflib
import importlib
import inspect
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core import ModelError, import_keras, import_keras_hub, import_tensorflow, seeded
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.base import LAYERS, Network, StatedPixels
from frieze.embedder.backbones.batch_dependence import check_image_input
from frieze.embedder.backbones.input_scaling import trace_graph
from frieze.embedder.backbones.request import BackboneRequest

_FLATTEN = ":flatten"
_AXES = ("input_axes", "output_axes")  # of initializers, from Keras 3.15 on
_INSIDE = "/"
_NO_WEIGHTS = "No model config found"  # Keras' error for a file of weights alone


def open_keras_file(request: BackboneRequest) -> Network:
    """Load a model file without running code from it.

    Raises:
        ModelError: The file or layer can't be used.
    """
    path = Path(request.handle).absolute()
    digest = fingerprint.of_file("", path)
    return network_of_model(load_model(path), request.layer, name=path.stem, handle=str(path), fingerprint=digest)


def network_of_model(model: Any, layer: str | None, *, name: str, handle: str, fingerprint: str) -> Network:
    """Return a Keras model, or the part of it up to a layer, as a network.

    Raises:
        ModelError: It takes no images, or the layer can't be used.
    """
    cut = cut_model(model, layer)
    check_image_input(cut.inputs[0].shape, name=name)
    return Network(
        name=name,
        handle=handle,
        fingerprint=fingerprint,
        image_size=_stated_size(model),
        read_pixels=lambda: read_pixels(cut),
        call=lambda images: cut(images, training=False),
        model=lambda: cut,
    )


def load_model(path: Path) -> Any:
    """Load a Keras model in safe mode, uncompiled.

    Raises:
        ModelError: The file can't be loaded, or would run code.
    """
    keras = import_keras()
    importlib.import_module("frieze.embedder.backbones.hub_layer.layer")  # registers HubLayer with Keras
    if _has_keras_hub_layers(path):
        import_keras_hub(str(path))  # registers its layers with Keras

    try:
        with seeded(0), _without_unknown_axes(path, keras) as file:  # layers draw initial weights before loading
            return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        if "safe_mode" in str(error):
            raise ModelError(
                f"{path} contains code, and a {path.suffix} file is never trusted to run code:"
                f" {_first_sentence(error)}",
                hint="Its author can export it as a SavedModel with model.export('FOLDER'): pass that folder.",
            ) from error
        if _NO_WEIGHTS in str(error):
            raise ModelError(
                f"{path} holds weights, but no model.",
                hint=f"Name the network: `backbone='keras:NAME', weights={str(path)!r}`; or save the whole model, with"
                " model.save('NAME.keras').",
            ) from error
        raise ModelError(
            f"{path} can't be loaded by Keras {keras.__version__}: {error}.",
            hint="Save it with model.save('NAME.keras'), with layers of Keras or KerasHub.",
        ) from error


@contextlib.contextmanager
def _without_unknown_axes(path: Path, keras: Any) -> Iterator[Path]:
    """Yield the file; where this Keras does not know `_AXES` of initializers, a copy without those that say nothing."""
    config = _read_config(path)
    if b'"input_axes"' not in config or _AXES[0] in inspect.signature(keras.initializers.GlorotUniform).parameters:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        copy = Path(folder, path.name)
        with zipfile.ZipFile(copy, "w") as written:
            for name in archive.namelist():
                data = archive.read(name)
                written.writestr(name, json.dumps(json.loads(data, object_hook=_drop_axes)) if data == config else data)
        yield copy


def _drop_axes(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _AXES or value is not None}


def _has_keras_hub_layers(path: Path) -> bool:
    """Return whether a model file names layers of KerasHub; False for any other file."""
    return b'"keras_hub' in (_read_config(path) or _read_hdf5_config(path))


def _read_config(path: Path) -> bytes:
    """Return the config of a `.keras` file; empty for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    except (OSError, LookupError, zipfile.BadZipFile):  # what is wrong with it, Keras says
        return b""


def _read_hdf5_config(path: Path) -> bytes:
    """Return the config of an `.h5` file; empty for any other file."""
    import h5py

    try:
        with h5py.File(path) as file:
            return str(file.attrs["model_config"]).encode()
    except (OSError, LookupError):
        return b""


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ", maxsplit=1)[0] + "."


def cut_model(model: Any, layer: str | None) -> Any:
    """Return the part of a model from its input to the output of a layer.

    Args:
        model: A Keras model with one input.
        layer: Name of the layer, `MODEL/LAYER` inside a nested model; with the suffix `:flatten` maps [h, w, c] become
            h * w * c numbers instead of their mean; None for the output of the model.

    Raises:
        ModelError: The model has no such layer, or several inputs or outputs.
    """
    keras = import_keras()

    inputs = getattr(model, "inputs", None) or ()  # a subclassed model may have none
    if len(inputs) != 1:
        raise ModelError(
            f"{model.name} has {len(inputs)} inputs; expected is one, for images.",
            hint="Save a model of one input.",
        )
    output = _only_output(model) if layer is None else _output(model, layer.removesuffix(_FLATTEN))
    if layer is not None and layer.endswith(_FLATTEN):
        output = keras.layers.Flatten()(output)
    return keras.Model(model.inputs[0], output)  # Keras warns at every call of a list of one input


def _only_output(model: Any) -> Any:
    if len(model.outputs) != 1:
        names = ", ".join(model.output_names)
        raise ModelError(f"{model.name} has several outputs: {names}.", hint="Choose one with `layer='NAME'`.")
    return model.outputs[0]


def _output(model: Any, path: str) -> Any:
    """Return the output of a layer for the model's input.

    Raises:
        ModelError: The layer does not exist, or has several outputs.
    """
    if path not in set(_paths(model)):
        raise _no_layer(model, path)
    name, _, inside = path.partition(_INSIDE)
    layer = model.get_layer(name)
    if inside:
        # Keras warns at every call of a list of one input.
        inputs, taken = (one[0] if len(one) == 1 else one for one in (layer.inputs, inputs_of(layer)))
        return import_keras().Model(inputs, _output(layer, inside))(taken)
    outputs = outputs_of(layer)
    if len(outputs) != 1:
        raise ModelError(f"{path} of {model.name} has {len(outputs)} outputs.", hint="Choose a layer of one output.")
    return outputs[0]


def inputs_of(layer: Any) -> list[Any]:
    """Return the tensors that a layer takes within its model; a nested model has separate inputs too."""
    return list(layer._inbound_nodes[0].input_tensors)  # noqa: SLF001  Keras has no public way


def outputs_of(layer: Any) -> list[Any]:
    """Return the outputs of a layer within its model."""
    return list(layer._inbound_nodes[0].outputs)  # noqa: SLF001  as above


def _is_model(layer: Any) -> bool:
    return bool(getattr(layer, "layers", None)) and bool(getattr(layer, "inputs", None))


def _no_layer(model: Any, path: str) -> ModelError:
    paths = list(_paths(model))
    inside = [one for one in paths if one.endswith(_INSIDE + path)]
    near = inside or difflib.get_close_matches(path, paths, n=5, cutoff=0.3) or paths[-5:]
    return ModelError(f"{model.name} has no layer {path}.", hint=f"Similar names: {', '.join(near)}.")


def _paths(model: Any) -> Iterator[str]:
    """Yield the path of every layer, nested ones included."""
    for layer in model.layers:
        yield layer.name
        if _is_model(layer):
            yield from (f"{layer.name}{_INSIDE}{path}" for path in _paths(layer))


def read_pixels(model: Any) -> StatedPixels:
    """Infer the pixel range from the numbers of a model's first layers."""
    tf = import_tensorflow()
    (images,) = model.inputs
    spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
    return StatedPixels(trace_graph(lambda batch: model(batch, training=False), spec).pixels, LAYERS)


def _stated_size(model: Any) -> tuple[int, int] | None:
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))

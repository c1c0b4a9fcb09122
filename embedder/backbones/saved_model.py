"""SavedModels in TensorFlow Hub form: TF2 callables and TF1 signatures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core import ModelError, check_files, check_own_checksum, import_tensorflow, read_json
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.base import HUB, LAYERS, Network, StatedPixels
from frieze.embedder.backbones.batch_dependence import check_image_input
from frieze.embedder.backbones.input_scaling import GraphTraits, trace_graph
from frieze.embedder.backbones.op_safety import HOW_TO_TRUST, check_only_computes
from frieze.embedder.backbones.request import BackboneRequest

_SIDES = "96|128|160|192|224|240|256|260|288|299|300|320|331|380|384|456|480|512|528|600"
_SIDE_IN_NAME = re.compile(rf"_({_SIDES})(?![0-9])")
_NAMED_SIDES = {"inception_resnet_v2": 299, "inception_v3": 299, "nasnet_large": 331}
"""Input sizes of modules whose graph takes any size. Source: the modules' pages on tfhub.dev."""

_LISTS = ("head.json", "export.json")
"""Files that list the checksums of a model that `frieze finetune` or `frieze export` wrote."""
_REMAKE = "Make the model again (frieze finetune or frieze export), or put its files back."

_IMAGES_RANK = 4
_ONLY = "default"  # the hub's name for the default output
_HUB_SIGNATURES = ("default", "image_feature_vector")
_SIGNATURES = (*_HUB_SIGNATURES, "serving_default")
_HUB_FILE = "tfhub_module.pb"  # of TF1 hub modules
_KERAS = "keras_api"  # an attribute of models that an older Keras saved
_HUB_RANGE = "0..1"  # source: tensorflow.org/hub/common_signatures/images
_COLOURS = 3
_GENERIC_NAME = re.compile(r"saved_model|\d+")


def open_saved_model(request: BackboneRequest) -> Network:
    """Load the folder of a SavedModel.

    Raises:
        ModelError: The folder is no SavedModel, can't be called with images, or does more than compute without trust.
    """
    named = Path(request.handle).absolute()
    folder = fingerprint.model_folder(named)
    check_listed_files(named)
    return load(folder, handle=str(named), name=module_name(named), layer=request.layer, trust=request.trust)


def check_listed_files(named: Path) -> None:
    """Check the files of a model that Frieze wrote against their checksums.

    Args:
        named: The folder of a SavedModel, or of a head that holds one.

    Raises:
        FeatureFileError: A file was altered, or the JSON file that lists them.
    """
    folder = fingerprint.model_folder(named)
    base = named.parent if named == folder and named.name == "saved_model" else named
    for path in (base / name for name in _LISTS if (base / name).is_file()):
        document = read_json(path, hint=_REMAKE)
        check_own_checksum(path, document, hint=_REMAKE)
        files = [file.relative_to(base).as_posix() for file in fingerprint.files_of_saved_model(folder)]
        check_files(base, document, files, hint=_REMAKE)


def load(folder: Path, *, handle: str, name: str, layer: str | None, trust: bool) -> Network:
    """Load a SavedModel from a local folder, for any handle.

    Raises:
        ModelError: The folder is no SavedModel, can't be called with images, or does more than compute without trust.
    """
    call = load_function(folder, name=name, output=layer, trust=trust)
    images = _images_spec(call, name)
    traits = trace_graph(call, images)
    _check_repeats(traits, name)
    is_hub_form = "://" in handle or _is_hub_form(folder, call)
    return Network(
        name=name,
        handle=handle,
        fingerprint=fingerprint.of_saved_model(folder),
        image_size=graph_input_size(call) or _named_size(name),
        read_pixels=lambda: _pixels(traits, is_hub_form=is_hub_form),
        call=_with_channels_last(call, images),
    )


def load_function(
    folder: Path, *, name: str, output: str | None, trust: bool, how: str = HOW_TO_TRUST
) -> "ServingFunction":
    """Load a SavedModel, and choose the function to call.

    Args:
        folder: Folder of its files.
        name: Its name, for messages.
        output: A signature, or one of several outputs.
        trust: Also load one that does more than compute.
        how: How to trust it, for the hint.

    Raises:
        ModelError: As in `load`.
    """
    if not has_model(folder):
        raise ModelError(
            f"{folder} holds no saved_model.pb.", hint="Pass the folder that a SavedModel was unpacked to."
        )
    tf = import_tensorflow()
    tags: list[str] | None = [] if (folder / _HUB_FILE).exists() else None  # TF1 hub modules are saved without tags
    try:
        if not trust:
            check_only_computes(folder, name=name, how=how)  # before loading, which runs initializers
        module = tf.saved_model.load(str(folder), tags=tags)
    except (OSError, ValueError, RuntimeError, LookupError, tf.errors.OpError) as error:
        raise ModelError(
            f"{folder} can't be loaded: {error}.", hint="Unpack the SavedModel again: its files are damaged or missing."
        ) from error
    return choose_function(module, output)


def _is_hub_form(folder: Path, call: "ServingFunction") -> bool:
    """Return whether a module has TensorFlow Hub's form, with its fixed pixel range, unlike exports of Keras."""
    module = call.module
    if (folder / _HUB_FILE).exists() or any(name in getattr(module, "signatures", ()) for name in _HUB_SIGNATURES):
        return True
    return callable(module) and not hasattr(module, _KERAS)


def _pixels(traits: GraphTraits, *, is_hub_form: bool) -> StatedPixels:
    """Return the pixel range of the graph if it shows one; else the convention of hub modules."""
    is_convention = traits.pixels is None and is_hub_form
    return StatedPixels(_HUB_RANGE, HUB) if is_convention else StatedPixels(traits.pixels, LAYERS)


def _check_repeats(traits: GraphTraits, name: str) -> None:
    """Reject a module that is not deterministic: Keras may export layers in training mode."""
    if traits.is_random:
        raise ModelError(
            f"{name} changes its images or numbers at random: its embeddings would differ every time.",
            hint="Pass the model's .keras file, where augmentation and dropout are inactive; or export it without"
            " them.",
        )
    if traits.writes_variables:
        raise ModelError(
            f"{name} changes its variables when it is called, as batch norm in training mode does: an image's"
            " embedding would depend on the images before it.",
            hint="Pass the model's .keras file, where batch norm is frozen; or export it with training=False.",
        )


def _images_spec(call: "ServingFunction", name: str) -> Any:
    """Return the TensorSpec of the images that a module takes.

    Raises:
        ModelError: The module takes files instead of pixels, or a number of channels other than three.
    """
    tf = import_tensorflow()
    specs = inputs_of(call)
    if any(spec.dtype == tf.string for spec in specs):
        others = ", ".join(sorted(getattr(call.module, "signatures", ()))) or "none"
        raise ModelError(
            f"{name} takes images as files, not as pixels, the way it is called here.",
            hint=f"Name a signature that takes pixels with `layer='SIGNATURE:OUTPUT'`. It has: {others}.",
        )
    fits = [spec for spec in specs if spec.shape.rank == _IMAGES_RANK]
    spec = fits[0] if fits else tf.TensorSpec([None, None, None, _COLOURS])
    if not _is_channels_first(spec.shape):
        check_image_input(spec.shape, name=name)
    sides = _sides(spec.shape) if len({tuple(one.shape) for one in fits}) == 1 else (None, None)
    at = (None, _COLOURS, *sides) if _is_channels_first(spec.shape) else (None, *sides, _COLOURS)
    return tf.TensorSpec(at, spec.dtype)


def _is_channels_first(shape: Any) -> bool:
    """Return whether images are [B, 3, H, W], as in networks from PyTorch."""
    return bool(shape.rank == _IMAGES_RANK and shape[1] == _COLOURS and shape[-1] != _COLOURS)


def _sides(shape: Any) -> tuple[int | None, int | None]:
    return tuple(shape[2:4]) if _is_channels_first(shape) else tuple(shape[1:3])


def _with_channels_last(call: "ServingFunction", images: Any) -> Any:
    """Wrap a function for float32 [B, H, W, 3], whatever axis order and type the module takes."""
    tf = import_tensorflow()
    if images.dtype == tf.float32 and not _is_channels_first(images.shape):
        return call

    def run(batch: Any) -> Any:
        batch = tf.cast(batch if images.dtype.is_floating else tf.round(batch), images.dtype)
        if not _is_channels_first(images.shape):
            return call(batch)
        return _channels_last(call(tf.transpose(batch, [0, 3, 1, 2])))

    return run


def _channels_last(values: Any) -> Any:
    """Transpose maps [B, D, h, w] to [B, h, w, D].

    Raises:
        ModelError: The channel axis is ambiguous.
    """
    if values.shape.rank != _IMAGES_RANK:
        return values
    channels, height, width = values.shape[1:]
    is_last = channels == height and height != width  # [h, w, D] of a square
    if None in (channels, height, width) or is_last == (height == width):
        raise ModelError(
            f"The backbone takes channels first, and its output of shape {values.shape} is ambiguous.",
            hint="Choose an output of shape [B, D] with `layer='NAME'`.",
        )
    return values if is_last else import_tensorflow().transpose(values, [0, 2, 3, 1])


def choose_function(module: Any, output: str | None) -> "ServingFunction":
    """Choose the function of a loaded module.

    Args:
        module: The result of `tf.saved_model.load` or `hub.load`, or any TensorFlow callable.
        output: A signature, one of several outputs, or `SIGNATURE:OUTPUT`; None for the default.

    Raises:
        ModelError: The module has no function to call.
    """
    signature, chosen = _split(module, output)
    return ServingFunction(module, _function(module, signature), chosen)


def _split(module: Any, output: str | None) -> tuple[str | None, str | None]:
    """Split a name into signature and output."""
    signatures = getattr(module, "signatures", ())
    signature, _, chosen = (output or "").partition(":")
    if signature in signatures:
        return signature, chosen or None
    return None, output


def has_model(folder: Path) -> bool:
    """Return whether a folder holds the graph of a SavedModel."""
    return any((folder / file).is_file() for file in ("saved_model.pb", "saved_model.pbtxt"))


class ServingFunction:
    """One output of a module's function on images; keeps the module, and so its variables, alive."""

    def __init__(self, module: Any, function: Any, output: str | None) -> None:
        self.module = module
        self.function = function
        self.output = output

    @property
    def is_signature(self) -> bool:
        """Whether a signature is called instead of the module itself."""
        return self.function is not self.module

    def concrete_functions(self) -> list[Any]:
        """Return the traced graphs, one for each input signature."""
        callee = self.function if self.is_signature else self.module.__call__
        return list(getattr(callee, "concrete_functions", [callee]))

    def __call__(self, images: Any, **arguments: Any) -> Any:
        """Return the output for a batch; a signature takes no other arguments."""
        _, named = getattr(self.function, "structured_input_signature", ((), {}))
        names = list(named)
        outputs = self.function(**{names[0]: images}) if names else self.function(images, **arguments)
        return self._choose(dict(named_outputs(outputs)))

    def _choose(self, outputs: dict[str, Any]) -> Any:
        """Return the chosen output; by default the only one, or the hub's `default`."""
        chosen = self.output
        name = chosen or (_ONLY if _ONLY in outputs else next(iter(outputs)) if len(outputs) == 1 else None)
        if name in outputs:
            return outputs[name]
        has = "several outputs" if chosen is None else f"no output {chosen}"
        others = ", ".join(sorted(getattr(self.module, "signatures", ())))
        raise ModelError(
            f"The backbone has {has}. It has: {', '.join(sorted(outputs))}."
            + (f" Its signatures are: {others}." if others else ""),
            hint="Choose one of these with `layer='NAME'`, or `layer='SIGNATURE:NAME'`. (HubLayer: output='NAME')",
        )


def named_outputs(outputs: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each output with its name: its key, its number in a list, or `KEY/KEY` if nested."""
    if isinstance(outputs, dict | list | tuple):
        items = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
        for key, value in items:
            yield from named_outputs(value, f"{prefix}/{key}" if prefix else str(key))
    elif outputs is not None:
        yield prefix or _ONLY, outputs


def _function(module: Any, layer: str | None) -> Any:
    """Choose the function: the module itself (TF2), or a signature (TF1, or the one named by `layer`)."""
    signatures = getattr(module, "signatures", {})
    if layer is not None and layer in signatures:
        return signatures[layer]
    if callable(module):
        return module
    for name in (*_SIGNATURES, *(signatures if len(signatures) == 1 else ())):
        if name in signatures:
            return signatures[name]
    raise ModelError(
        f"The SavedModel can't be called, and has only these signatures: {', '.join(signatures) or 'none'}.",
        hint="Name the one that takes images with `layer`.",
    )


def graph_input_size(call: ServingFunction) -> tuple[int, int] | None:
    """Return the height and width of images that a module's graph requires; None for any."""
    shapes = [spec.shape for spec in inputs_of(call) if spec.shape.rank == _IMAGES_RANK]
    sizes = {(height, width) for height, width in map(_sides, shapes) if height is not None and width is not None}
    return sizes.pop() if sizes else None


def inputs_of(call: ServingFunction) -> list[Any]:
    """Return the TensorSpec of each input of a module's graphs."""
    tf = import_tensorflow()
    structures = [getattr(one, "structured_input_signature", ()) for one in call.concrete_functions()]
    return [spec for spec in tf.nest.flatten(structures) if isinstance(spec, tf.TensorSpec)]


def _named_size(name: str) -> tuple[int, int] | None:
    match = _SIDE_IN_NAME.search(name)
    side = int(match[1]) if match else next((side for part, side in _NAMED_SIDES.items() if part in name), None)
    return None if side is None else (side, side)


def module_name(folder: Path) -> str:
    """Return the name of a module: its folder, or the one above a generic name (`saved_model`, `1`)."""
    parts = [part for part in folder.resolve().parts if not _GENERIC_NAME.fullmatch(part)]
    return parts[-1]

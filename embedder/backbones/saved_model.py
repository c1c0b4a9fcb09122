"""A folder with a TensorFlow SavedModel in hub form: TF2 callables and TF1 signatures."""

import re
from pathlib import Path
from typing import Any

from embedder.backbones import fingerprint
from embedder.backbones.request import BackboneRequest, Network
from embedder.backbones.trust import check_only_computes
from features import ModelError, check_files, check_listed, import_tensorflow, read_json

_SIDES = "96|128|160|192|224|240|256|260|288|299|300|320|331|380|384|456|480|512|528|600"
_SIDE_IN_NAME = re.compile(rf"_({_SIDES})(?![0-9])")
_NAMED_SIDES = {"inception_resnet_v2": 299, "inception_v3": 299, "nasnet_large": 331}
"""Sizes that the module's graph leaves open. Source: the modules' pages on tfhub.dev."""

_LISTS = ("head.json", "export.json")
"""What lists the files of a model that `frieze finetune` or `frieze export` wrote."""
_MAKE_AGAIN = "Make the model again (frieze finetune or frieze export), or put its files back."

_IMAGES_RANK = 4
_ONLY = "default"  # the hub's name for the output that is meant
_SIGNATURES = ("default", "image_feature_vector", "serving_default")
_UNTOLD = re.compile(r"saved_model|\d+")


def open_saved_model(request: BackboneRequest) -> Network:
    """Load a SavedModel's folder.

    Raises:
        ModelError: It is no SavedModel, can't be called with images, or does more than compute and is not trusted.
    """
    named = Path(request.handle).absolute()
    folder = fingerprint.model_folder(named)
    _check_listed_files(named, folder)
    return load(folder, handle=str(named), name=name_of(named), layer=request.layer, trust=request.trust)


def _check_listed_files(named: Path, folder: Path) -> None:
    """Refuse a model of ours with an altered file.

    Raises:
        FeatureFileError: One is, or the JSON file that lists them.
    """
    base = named.parent if named == folder and named.name == "saved_model" else named
    for path in (base / name for name in _LISTS if (base / name).is_file()):
        document = read_json(path, mend=_MAKE_AGAIN)
        check_listed(path, document, mend=_MAKE_AGAIN)
        files = [file.relative_to(base).as_posix() for file in fingerprint.files_of_saved_model(folder)]
        check_files(base, document, files, mend=_MAKE_AGAIN)


def load(folder: Path, *, handle: str, name: str, layer: str | None, trust: bool) -> Network:
    """Load a SavedModel that lies in a local folder, whatever handle led to it.

    Raises:
        ModelError: It is no SavedModel, can't be called with images, or does more than compute and is not trusted.
    """
    if not has_model(folder):
        raise ModelError(
            f"{folder} holds no saved_model.pb.", mend="Give the folder that a SavedModel was unpacked to."
        )
    tf = import_tensorflow()
    tags: list[str] | None = (
        [] if (folder / "tfhub_module.pb").exists() else None
    )  # TF1 hub modules are saved without tags
    try:
        if not trust:
            check_only_computes(folder, name=name)  # before loading, which runs initializers
        module = tf.saved_model.load(str(folder), tags=tags)
    except (OSError, ValueError, RuntimeError, LookupError, tf.errors.OpError) as error:
        raise ModelError(
            f"{folder} can't be loaded: {error}.", mend="Unpack the SavedModel again: its files are damaged or missing."
        ) from error
    call = call_of(module, layer)
    return Network(
        name=name,
        handle=handle,
        fingerprint=fingerprint.of_saved_model(folder),
        image_size=stated_size(call) or _named_size(name),
        pixels="0..1",
        call=call,
    )


def call_of(module: Any, output: str | None) -> "Call":
    """Give what to call of a module that is loaded already.

    Args:
        module: What `tf.saved_model.load` or `hub.load` gave, or any callable of TensorFlow's.
        output: A signature, or one of several outputs; None for the one that is meant.

    Raises:
        ModelError: There is nothing to call.
    """
    is_signature = output in getattr(module, "signatures", ())
    return Call(module, _function(module, output), None if is_signature else output)


def has_model(folder: Path) -> bool:
    """Tell whether a folder holds a SavedModel's graph."""
    return any((folder / file).is_file() for file in ("saved_model.pb", "saved_model.pbtxt"))


class Call:
    """One output of a module's function on images; it holds the module, whose variables would go with it."""

    def __init__(self, module: Any, function: Any, output: str | None) -> None:
        self.module = module
        self.function = function
        self.output = output

    @property
    def is_signature(self) -> bool:
        """Tell whether a signature is called, not the module itself."""
        return self.function is not self.module

    def concrete_functions(self) -> list[Any]:
        """Give the graphs that a call leads to, one for each kind of input and argument."""
        callee = self.function if self.is_signature else self.module.__call__
        return list(getattr(callee, "concrete_functions", [callee]))

    def __call__(self, images: Any, **arguments: Any) -> Any:
        """Give the output for a batch; a signature takes no other arguments."""
        _, named = getattr(self.function, "structured_input_signature", ((), {}))
        names = list(named)
        outputs = self.function(**{names[0]: images}) if names else self.function(images, **arguments)
        return _choose(outputs if isinstance(outputs, dict) else {_ONLY: outputs}, self.output)


def _choose(outputs: dict[str, Any], wanted: str | None) -> Any:
    """Take the output asked for; else the one there is, or the hub's `default`."""
    name = wanted or (_ONLY if _ONLY in outputs else next(iter(outputs)) if len(outputs) == 1 else None)
    if name in outputs:
        return outputs[name]
    has = "several outputs" if wanted is None else f"no output {wanted}"
    raise ModelError(
        f"The backbone has {has}. It has: {', '.join(sorted(outputs))}.",
        mend="Choose one of these with --layer NAME. (HubLayer: output='NAME')",
    )


def _function(module: Any, layer: str | None) -> Any:
    """Choose what to call: the module itself (TF2), or a signature (TF1, or one asked for by `layer`)."""
    signatures = getattr(module, "signatures", {})
    if layer is not None and layer in signatures:
        return signatures[layer]
    if callable(module):
        return module
    for name in _SIGNATURES:
        if name in signatures:
            return signatures[name]
    raise ModelError(
        f"The SavedModel can't be called, and has only these signatures: {', '.join(signatures) or 'none'}.",
        mend="Name the one that takes images with --layer.",
    )


def stated_size(call: Call) -> tuple[int, int] | None:
    """Give the height and width of images that a module's graph fixes; None where it takes any."""
    shapes = [spec.shape for spec in inputs_of(call) if spec.shape.rank == _IMAGES_RANK]
    sizes = {(shape[1], shape[2]) for shape in shapes if shape[1] is not None and shape[2] is not None}
    return sizes.pop() if sizes else None


def inputs_of(call: Call) -> list[Any]:
    """Give the TensorSpec of each tensor that a module's graphs take."""
    tf = import_tensorflow()
    structures = [getattr(one, "structured_input_signature", ()) for one in call.concrete_functions()]
    return [spec for spec in tf.nest.flatten(structures) if isinstance(spec, tf.TensorSpec)]


def _named_size(name: str) -> tuple[int, int] | None:
    found = _SIDE_IN_NAME.search(name)
    side = int(found[1]) if found else next((side for part, side in _NAMED_SIDES.items() if part in name), None)
    return None if side is None else (side, side)


def name_of(folder: Path) -> str:
    """Name a module by its folder, or the one above where that says nothing (`saved_model`, `1`)."""
    parts = [part for part in folder.resolve().parts if not _UNTOLD.fullmatch(part)]
    return parts[-1]

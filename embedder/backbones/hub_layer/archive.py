"""A hub module within a Keras model's file: copied in, and copied out once it is known to be the same."""

import atexit
import contextlib
import shutil
import warnings
from pathlib import Path
from typing import Any

from frieze.core import InputError, ModelError, import_tensorflow, locked_temporary_folder
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.hub_layer.module import HubModule, Weight, is_module, open_folder
from frieze.embedder.backbones.op_safety import check_only_computes

_KEPT: dict[str, Path] = {}
_HELD = contextlib.ExitStack()
atexit.register(_HELD.close)
"""Fingerprint -> where this process has the module's files: opened there, or copied out of a model's file."""


_TRUSTED: set[str] = set()
"""Fingerprints of modules that this process may load from a model's file, whatever they do."""


def trust_module(wanted: str) -> None:
    """Let this process load the module of a fingerprint from a model's file, whatever it does."""
    _TRUSTED.add(wanted)


def describe(module: HubModule) -> dict[str, Any]:
    """Give what a model's file says of a module, as plain JSON values.

    Raises:
        InputError: The module was loaded elsewhere, and has no files that could go with it.
    """
    if module.handle is None or module.fingerprint is None:
        raise InputError(
            f"A layer of the loaded object {module.name} can't be saved: nothing tells where its files lie.",
            hint="Make the layer from the SavedModel's folder: HubLayer('FOLDER'); or save model.save_weights(FILE).",
        )
    if module.folder is not None:
        _KEPT.setdefault(module.fingerprint, module.folder)
    return {
        "handle": module.handle,
        "name": module.name,
        "fingerprint": module.fingerprint,
        "weights": [
            {
                "name": weight.name,
                "shape": list(weight.variable.shape),
                "dtype": weight.variable.dtype.name,
                "is_trainable": weight.is_trainable,
            }
            for weight in module.weights
        ],
        "shapes": [[list(shape), list(output)] for shape, output in module.shapes.items()],
    }


def revive(described: dict[str, Any], *, output: str | None) -> HubModule:
    """Give the module that `describe` told of: loaded where its files are at hand, else still to be filled.

    Nothing is fetched: a model's file may be anybody's, and brings the module with it.

    Raises:
        ModelError: Its files are at hand, and it is not trusted.
    """
    handle, wanted = described["handle"], described["fingerprint"]
    shapes = {tuple(shape): tuple(found) for shape, found in described["shapes"]}
    folders = [_KEPT.get(wanted), None if "://" in handle else Path(handle).absolute()]
    for folder in folders:
        if folder is not None and is_module(folder, wanted):
            module = _open(folder, wanted, handle=handle, output=output)
            module.shapes.update(shapes)
            return module
    weights = tuple(_awaited(one) for one in described["weights"])
    return HubModule(name=described["name"], handle=handle, fingerprint=wanted, weights=weights, shapes=shapes)


def _awaited(told: dict[str, Any]) -> Weight:
    tf = import_tensorflow()
    values = tf.zeros(told["shape"], told["dtype"])
    return Weight(told["name"], tf.Variable(values, trainable=told["is_trainable"]), told["is_trainable"])


def write_module(module: HubModule, folder: Path) -> None:
    """Copy a module's files into a folder of the model's file.

    Raises:
        ModelError: They are no longer those that were loaded.
    """
    if module.folder is None or not is_module(module.folder, str(module.fingerprint)):
        raise ModelError(
            f"{module.name} can't be saved with the model: its files are gone or changed since it was loaded.",
            hint=f"Put it back at {module.handle}; or save the weights alone: model.save_weights(FILE).",
        )
    _copy(module.folder, folder)
    _warn_of_trust(module.folder, module)


def _warn_of_trust(folder: Path, module: HubModule) -> None:
    """Say of a module that does more than compute what its model's file takes to be loaded."""
    try:
        check_only_computes(folder, name=module.name)
    except ModelError as error:
        warnings.warn(
            f"{error.args[0]} To load the model's file, type first: {_how_to_trust(str(module.fingerprint))}",
            stacklevel=2,
        )


def _how_to_trust(wanted: str) -> str:
    return f"frieze.HubLayer.trust_module({wanted!r})"


def read_module(module: HubModule, folder: Path, *, output: str | None) -> HubModule:
    """Load a module from a folder of the model's file; where it is loaded already, the folder is only checked.

    Args:
        module: What the model's file says of it.
        folder: Holds the files; they are copied, since Keras takes the folder away.
        output: A signature, or one of several outputs.

    Raises:
        ModelError: The files are not those that the model was saved with, or the module is not trusted.
    """
    wanted = str(module.fingerprint)
    if not is_module(folder, wanted):
        raise ModelError(
            f"The files of {module.name} in the model's file are damaged: they are not those that it was saved with.",
            hint="Get the model's file again from where it was made.",
        )
    if module.call is not None:
        return module
    loaded = _open(_keep(folder, wanted), wanted, handle=str(module.handle), output=output)
    loaded.shapes.update(module.shapes)
    if [_signature(weight) for weight in loaded.weights] != [_signature(weight) for weight in module.weights]:
        raise ModelError(
            f"The model's file lists other variables than {module.name} in it has.",
            hint="Get the model's file again from where it was made.",
        )
    return loaded


def _open(folder: Path, wanted: str, *, handle: str, output: str | None) -> HubModule:
    """Load a module that a model's file tells of, from a folder of its fingerprint."""
    how = f"{_how_to_trust(wanted)}, then load the model's file"
    return open_folder(folder, handle=handle, output=output, trust=wanted in _TRUSTED, how=how)


def _signature(weight: Weight) -> tuple[Any, ...]:
    return weight.name, tuple(weight.variable.shape), weight.variable.dtype.name


def _keep(folder: Path, wanted: str) -> Path:
    """Copy a module out for as long as this process lasts, once."""
    kept = _KEPT.get(wanted)
    if kept is None or not is_module(kept, wanted):
        kept = _KEPT[wanted] = _HELD.enter_context(locked_temporary_folder())
        _copy(folder, kept)
    return kept


def _copy(source: Path, target: Path) -> None:
    """Copy what the fingerprint covers, and nothing that lies beside it."""
    for path in fingerprint.files_of_saved_model(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)

"""Hub modules inside .keras files: their SavedModel files are copied in, and copied out after a fingerprint check."""

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

_FOLDERS: dict[str, Path] = {}
_HELD = contextlib.ExitStack()
atexit.register(_HELD.close)
"""Fingerprint -> folder of the module's files in this process: its source, or a copy from a .keras file."""


_TRUSTED: set[str] = set()
"""Fingerprints of modules that this process may load from a .keras file, whatever their operations."""


def trust_module(digest: str) -> None:
    """Let this process load the module with a fingerprint from a .keras file, whatever its operations."""
    _TRUSTED.add(digest)


def to_config(module: HubModule) -> dict[str, Any]:
    """Return the config of a module in a .keras file, as JSON values.

    Raises:
        InputError: The module was loaded elsewhere, and its files are unknown.
    """
    if module.handle is None or module.fingerprint is None:
        raise InputError(
            f"A layer of the loaded object {module.name} can't be saved: its files are unknown.",
            hint="Make the layer from the SavedModel's folder: HubLayer('FOLDER'); or save model.save_weights(FILE).",
        )
    if module.folder is not None:
        _FOLDERS.setdefault(module.fingerprint, module.folder)
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


def from_config(config: dict[str, Any], *, output: str | None) -> HubModule:
    """Return the module of a config: loaded if its files are present, else without values.

    Nothing is downloaded: a .keras file may come from anybody, and contains the module.

    Raises:
        ModelError: Its files are present, and it is not trusted.
    """
    handle, digest = config["handle"], config["fingerprint"]
    shapes = {tuple(shape): tuple(output_shape) for shape, output_shape in config["shapes"]}
    folders = [_FOLDERS.get(digest), None if "://" in handle else Path(handle).absolute()]
    for folder in folders:
        if folder is not None and is_module(folder, digest):
            module = _open(folder, digest, handle=handle, output=output)
            module.shapes.update(shapes)
            return module
    weights = tuple(_placeholder(one) for one in config["weights"])
    return HubModule(name=config["name"], handle=handle, fingerprint=digest, weights=weights, shapes=shapes)


def _placeholder(config: dict[str, Any]) -> Weight:
    tf = import_tensorflow()
    values = tf.zeros(config["shape"], config["dtype"])
    return Weight(config["name"], tf.Variable(values, trainable=config["is_trainable"]), config["is_trainable"])


def write_module(module: HubModule, folder: Path) -> None:
    """Copy the files of a module into a folder of the .keras file.

    Raises:
        ModelError: The files have changed since they were loaded.
    """
    if module.folder is None or not is_module(module.folder, str(module.fingerprint)):
        raise ModelError(
            f"{module.name} can't be saved with the model: its files are gone or changed since it was loaded.",
            hint=f"Put it back at {module.handle}; or save the weights alone: model.save_weights(FILE).",
        )
    _copy(module.folder, folder)
    _warn_of_trust(module.folder, module)


def _warn_of_trust(folder: Path, module: HubModule) -> None:
    """Warn if the module does more than compute: loading its .keras file requires trust."""
    try:
        check_only_computes(folder, name=module.name)
    except ModelError as error:
        warnings.warn(
            f"{error.args[0]} Before loading the model's file, call: {_how_to_trust(str(module.fingerprint))}",
            stacklevel=2,
        )


def _how_to_trust(digest: str) -> str:
    return f"frieze.HubLayer.trust_module({digest!r})"


def read_module(module: HubModule, folder: Path, *, output: str | None) -> HubModule:
    """Load a module from a folder of the .keras file; if it is loaded already, only check the folder.

    Args:
        module: The module from the config.
        folder: Folder of its files; they are copied, because Keras deletes the folder.
        output: A signature, or one of several outputs.

    Raises:
        ModelError: The files differ from those that were saved, or the module is not trusted.
    """
    digest = str(module.fingerprint)
    if not is_module(folder, digest):
        raise ModelError(
            f"The files of {module.name} in the model's file are damaged: they differ from those that were saved.",
            hint="Get the model's file again from where it was made.",
        )
    if module.call is not None:
        return module
    loaded = _open(_keep(folder, digest), digest, handle=str(module.handle), output=output)
    loaded.shapes.update(module.shapes)
    if [_signature(weight) for weight in loaded.weights] != [_signature(weight) for weight in module.weights]:
        raise ModelError(
            f"The model's file lists other variables than {module.name} in it has.",
            hint="Get the model's file again from where it was made.",
        )
    return loaded


def _open(folder: Path, digest: str, *, handle: str, output: str | None) -> HubModule:
    """Load a module of a .keras file from a folder with its fingerprint."""
    how = f"{_how_to_trust(digest)}, then load the model's file"
    return open_folder(folder, handle=handle, output=output, trust=digest in _TRUSTED, how=how)


def _signature(weight: Weight) -> tuple[Any, ...]:
    return weight.name, tuple(weight.variable.shape), weight.variable.dtype.name


def _keep(folder: Path, digest: str) -> Path:
    """Copy a module out of a .keras file, once, for the lifetime of the process."""
    kept = _FOLDERS.get(digest)
    if kept is None or not is_module(kept, digest):
        kept = _FOLDERS[digest] = _HELD.enter_context(locked_temporary_folder())
        _copy(folder, kept)
    return kept


def _copy(source: Path, target: Path) -> None:
    """Copy the files that the fingerprint covers, and no others."""
    for path in fingerprint.files_of_saved_model(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)

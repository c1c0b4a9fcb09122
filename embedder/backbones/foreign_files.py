"""Files of networks that other programs made: what to type to use them here."""

import shlex
from pathlib import Path

_ONNX = "Convert it to a SavedModel: onnx2tf -i {path} -o {folder} -osd (from PyPI). Then: --backbone {folder}"
_TORCH = (
    "Write it as ONNX with torch.onnx.export, and convert that to a SavedModel: onnx2tf -i {onnx} -o {folder}"
    " -osd (from PyPI). Then: --backbone {folder}. Or embed with PyTorch, save the vectors with numpy.save, and type:"
    " frieze import VECTORS.npy --out FEATURES"
)
_PACKED = "Unpack it, and give the folder that holds saved_model.pb: mkdir {folder}; {unpack} {path} {into} {folder}"

_ADVICE = {
    ".onnx": _ONNX,
    **dict.fromkeys((".pt", ".pth", ".pth.tar", ".safetensors", ".ckpt", ".bin"), _TORCH),
    ".tflite": "A TFLite file can't be converted back: give the SavedModel or .keras file that it was made from.",
    ".pb": "Give the folder of the SavedModel, not the file in it: --backbone {parent}",
    ".json": "This is a network without its weights: save both with model.save('NAME.keras').",
    **dict.fromkeys((".tar.gz", ".tgz", ".tar"), _PACKED.replace("{unpack}", "tar xf").replace("{into}", "-C")),
    ".zip": _PACKED.replace("{unpack}", "unzip").replace("{into}", "-d"),
}
"""Suffix -> how to come to something that is read here; the longest suffix that fits counts."""


def advise(path: Path) -> str | None:
    """Tell how to use a file of another kind; None where its name says nothing.

    >>> advise(Path("nets/small.tflite"))
    "A TFLite file can't be converted back: give the SavedModel or .keras file that it was made from."
    """
    suffix = max((one for one in _ADVICE if path.name.lower().endswith(one)), key=len, default=None)
    if suffix is None:
        return None
    folder = path.parent / path.name[: -len(suffix)]
    names = {"path": path, "folder": folder, "onnx": f"{folder}.onnx", "parent": path.parent}
    return _ADVICE[suffix].format(**{name: shlex.quote(str(place)) for name, place in names.items()})

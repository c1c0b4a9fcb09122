"""The files of an ONNX model: itself, and those beside it that hold its weights; and reading them by OpenVINO.

The few fields that name them are read from the file's Protobuf messages; the weights themselves are skipped, not read.
Source: onnx/onnx.proto.
"""

import hashlib
import mmap
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from frieze.core import InputError, ModelError, hash_file, import_openvino, muted

_LENGTH_DELIMITED = 2
_FIXED_BYTES = {1: 8, 5: 4}  # wire type -> size
_NESTED = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
}
"""Message -> number of its field -> the message in it."""
_KEY, _VALUE = 1, 2  # fields of an entry of external data
_MOST_NESTED = 64
_UNKNOWN_OPERATORS = re.compile(
    r"(?:No conversion rule found for|does not support the following ONNX) operations: (.+)"
)


def external_files(path: Path) -> list[Path]:
    """List the files of weights that a model names, sorted.

    Raises:
        ModelError: The file is damaged, or names a file outside of its own folder.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            names = sorted({name.decode() for name in _locations(memoryview(data).toreadonly(), "model")})
    except (ValueError, IndexError, BufferError) as error:
        raise _damaged(path) from error
    for name in names:
        _check_below(path, name)
    return [path.parent / name for name in names]


def hash_model(path: Path) -> str:
    """Hash an ONNX model with its files of weights; hex.

    Raises:
        ModelError: A file does not exist, is damaged, or lies outside of the model's folder.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", hint="Check the path of the model.")
    others = external_files(path)
    missing = [other for other in others if not other.is_file()]
    if missing:
        raise ModelError(
            f"{path} keeps its weights in {missing[0].name}, which is not beside it.",
            hint=f"Put it into {missing[0].parent}; it belongs to the model.",
        )
    total = hashlib.sha256(f":{hash_file(path)}".encode())
    for other in others:
        total.update(f"\n{other.relative_to(path.parent).as_posix()}:{hash_file(other)}".encode())
    return total.hexdigest()


def read_onnx(path: Path) -> Any:
    """Read a file as an OpenVINO model.

    Raises:
        ModelError: It is broken, or has operators that OpenVINO does not know.
        InputError: OpenVINO is not installed.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise InputError(
            f"{path} is run by OpenVINO, which can't be imported here.", hint="Type: pip install 'frieze[cpu]'"
        ) from error
    try:
        with muted():  # other readers, which OpenVINO tries too, print
            return openvino.Core().read_model(path)
    except RuntimeError as error:
        raise _to_model_error(path, str(error)) from error


def _to_model_error(path: Path, message: str) -> ModelError:
    operators = _UNKNOWN_OPERATORS.search(message)
    if operators:
        return ModelError(
            f"{path} has operators that OpenVINO does not know: {operators[1].strip()}.",
            hint="Export the network with operators of the ONNX standard alone.",
        )
    return ModelError(
        f"{path} can't be read by OpenVINO: {message.strip().splitlines()[-1].strip()}",
        hint="Export it again; docs/howto.md shows how. The file may be damaged.",
    )


def _check_below(path: Path, name: str) -> None:
    """Reject a name that leads out of the model's folder: a model must not read whatever file it names."""
    parts = PurePosixPath(name).parts + PureWindowsPath(name).parts
    is_absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    if is_absolute or ".." in parts or not parts:
        raise ModelError(
            f"{path} names a file of weights outside of its own folder: {name[:100]!r}.",
            hint="Use it only if you know who made it: save it again with onnx.save_model, which puts the file beside"
            " it.",
        )


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is no ONNX file, or damaged.", hint="Export it, or copy it, again.")


def _locations(data: memoryview, kind: str, depth: int = 0) -> Iterator[bytes]:
    """Yield the name of the file of each tensor whose values are in another file."""
    if depth > _MOST_NESTED:
        raise ValueError("nested too deeply")
    for number, field in _fields(data):
        inside = _NESTED[kind].get(number)
        if inside == "external data":
            entry = {key: bytes(value) for key, value in _fields(field)}
            if entry.get(_KEY) == b"location":
                yield entry.get(_VALUE, b"")
        elif inside is not None:
            yield from _locations(field, inside, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each length-delimited field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            _, at = _varint(data, at)
        elif wire_type == _LENGTH_DELIMITED:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("truncated")
            yield number, data[at : at + size]
            at += size
        elif wire_type in _FIXED_BYTES:
            at += _FIXED_BYTES[wire_type]
        else:
            raise ValueError(f"no wire type: {wire_type}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004  the highest bit says that more follow
            return value, at
        if shift > 63:  # noqa: PLR2004  bits of the longest number
            raise ValueError("too long a number")

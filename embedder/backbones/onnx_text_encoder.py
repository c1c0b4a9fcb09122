"""A text tower in two files: an ONNX graph, which OpenVINO runs, and the `tokenizer.json` of Hugging Face."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from frieze.core import InputError, ModelError, import_openvino
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.onnx_files import hash_model
from frieze.embedder.backbones.text_encoder import TextEncoder
from frieze.embedder.backbones.text_tokens import (
    EXPORT,
    TOKENIZER,
    TokenInput,
    choose_output,
    no_output_error,
    open_tokenizer,
    text_encoder,
    tokenizer_files,
)


def open_onnx_text_encoder(path: Path) -> TextEncoder:
    """Open a text tower from its folder, or from its ONNX file with the tokenizer beside it.

    Raises:
        ModelError: A file is missing or can't be used.
        InputError: `tokenizers` or OpenVINO is not installed.
    """
    digest = fingerprint_of_onnx_text_encoder(path)
    model = _model_file(path)
    graph = _read_graph(model)
    return text_encoder(open_tokenizer(model, _inputs(graph)), _compile(graph), digest)


def fingerprint_of_onnx_text_encoder(path: Path) -> str:
    """Hash the files of a text tower.

    Raises:
        ModelError: One is missing, or holds weights outside of its own folder.
    """
    model = _model_file(path)
    return fingerprint.of_files(tokenizer_files(model.parent), hash_model(model))


def _model_file(path: Path) -> Path:
    """Return the only ONNX file of a folder, or the file itself.

    Raises:
        ModelError: There is none, or more than one.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.onnx"))
    if len(files) != 1 or files[0].suffix != ".onnx":
        what = (
            "does not exist" if not path.exists() else f"has {len(files)} .onnx files" if path.is_dir() else "is none"
        )
        raise ModelError(
            f"The text tower {path} is expected to be an .onnx file, or a folder with one or with a SavedModel: it"
            f" {what}.",
            hint=f"Pass the .onnx file or the SavedModel of the text tower, with its {TOKENIZER} beside it.",
        )
    return files[0]


def _read_graph(path: Path) -> Any:
    """Read a graph.

    Raises:
        ModelError: It is broken, or has operations that OpenVINO does not know.
        InputError: OpenVINO is not installed.
    """
    try:
        return import_openvino().Core().read_model(path)
    except ImportError as error:
        raise InputError(
            f"{path} requires OpenVINO, which is not installed.", hint="Type: pip install 'frieze[cpu]'"
        ) from error
    except RuntimeError as error:
        raise ModelError(f"{path} can't be read by OpenVINO: {str(error).splitlines()[-1]}", hint=EXPORT) from error


def _inputs(graph: Any) -> dict[str, TokenInput]:
    return {one.get_any_name(): TokenInput(one.get_element_type().to_dtype(), _shape(one)) for one in graph.inputs}


def _shape(tensor: Any) -> tuple[int | None, ...]:
    axes = tensor.get_partial_shape()
    return () if axes.rank.is_dynamic else tuple(axis.get_length() if axis.is_static else None for axis in axes)


def _compile(graph: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a function that runs a graph for the vector of a text.

    Raises:
        ModelError: It has no such output.
    """
    shapes = {one.get_any_name(): one.get_partial_shape() for one in graph.outputs}
    name = choose_output({name: len(_shape(graph.output(name))) for name in shapes})
    if name is None:
        raise no_output_error(shapes)
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    number = graph.output(name).get_index()
    return lambda inputs: compiled(inputs)[number]

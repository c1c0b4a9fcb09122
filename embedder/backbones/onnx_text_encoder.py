"""A text tower in two files: an ONNX graph, which OpenVINO runs, and the `tokenizer.json` of Hugging Face."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from frieze.core import ModelError, import_openvino
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.onnx_files import hash_model, read_onnx
from frieze.embedder.backbones.openvino_graph import sides_of
from frieze.embedder.backbones.text_encoder import TextEncoder
from frieze.embedder.backbones.text_tokens import (
    MASK,
    TOKENIZER,
    Tables,
    TokenInput,
    choose_output,
    no_output_error,
    open_tokenizer,
    run_error,
    text_encoder,
    tokenizer_files,
)

_SAME_NUMBERS = {"Broadcast", "Convert", "Reshape", "Squeeze", "Unsqueeze"}
"""Operations of OpenVINO that only move the numbers of their first input."""
_UNPACKING = {"Convert", "Multiply", "Reshape", "Subtract"}
"""Operations that make a table of its compressed numbers."""
_TABLE_RANK = 2


def open_onnx_text_encoder(path: Path) -> TextEncoder:
    """Open a text tower from its folder, or from its ONNX file with the tokenizer beside it.

    Raises:
        ModelError: A file is missing or can't be used.
        InputError: `tokenizers` or OpenVINO is not installed.
    """
    digest = fingerprint_of_onnx_text_encoder(path)
    model = _model_file(path)
    graph = read_onnx(model)
    return text_encoder(open_tokenizer(model, _inputs(graph), _tables(graph)), _compile(graph), digest)


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


def _inputs(graph: Any) -> dict[str, TokenInput]:
    return {
        one.get_any_name(): TokenInput(one.get_element_type().to_dtype(), sides_of(one.get_partial_shape()))
        for one in graph.inputs
    }


def _tables(graph: Any) -> Tables:
    """Return the rows of the tables that a graph reads by token, and by positions that it counts itself."""
    rows = list(_table_rows(graph))
    least = {kind: min(n_rows for n_rows, other in rows if other == kind) for _, kind in rows}
    return Tables(n_tokens=least.get("Parameter"), n_positions=least.get("Range"))


def _table_rows(graph: Any) -> Iterator[tuple[int, str]]:
    """Yield the rows of each constant table [N, D] that a graph gathers from, and what makes the indices."""
    for gather in (one for one in graph.get_ops() if one.get_type_name() == "Gather"):
        table = gather.input(0).get_partial_shape()
        is_table = table.rank.is_static and len(table) == _TABLE_RANK and table[0].is_static
        if is_table and _source(gather, 0, _UNPACKING).get_type_name() == "Constant":
            indices = _source(gather, 1, _SAME_NUMBERS)
            if MASK not in indices.get_friendly_name():
                yield table[0].get_length(), indices.get_type_name()


def _source(node: Any, number: int, passed: Collection[str]) -> Any:
    """Return the node that makes an input of a node, past those of these types."""
    source = node.input_value(number).get_node()
    while source.get_type_name() in passed:
        source = source.input_value(0).get_node()
    return source


def _compile(graph: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a function that runs a graph for the vector of a text.

    Raises:
        ModelError: It has no such output; or, when run, it does not take these tokens.
    """
    shapes = {one.get_any_name(): one.get_partial_shape() for one in graph.outputs}
    name = choose_output({name: len(sides_of(shape)) for name, shape in shapes.items()})
    if name is None:
        raise no_output_error(shapes)
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    number = graph.output(name).get_index()

    def run(inputs: dict[str, Any]) -> Any:
        try:
            return compiled(inputs)[number]
        except RuntimeError as error:
            raise run_error(inputs, " ".join(str(error).split("\n", 2)[-1].split())) from error

    return run

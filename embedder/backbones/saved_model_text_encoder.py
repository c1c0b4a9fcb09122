"""A text tower in a folder: a SavedModel, which TensorFlow runs, and the `tokenizer.json` of Hugging Face."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frieze.core import import_tensorflow
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.saved_model import load_function, named_outputs
from frieze.embedder.backbones.text_encoder import TextEncoder
from frieze.embedder.backbones.text_tokens import (
    TokenInput,
    choose_output,
    no_output_error,
    open_tokenizer,
    run_error,
    text_encoder,
    tokenizer_files,
)

_SIGNATURE = "serving_default"
_HOW = "export it again without these operations, since a search would run them without asking"


def open_saved_model_text_encoder(folder: Path) -> TextEncoder:
    """Open a text tower from the folder of its SavedModel, which holds the tokenizer too.

    Raises:
        ModelError: A file is missing or can't be used, or the SavedModel does more than compute.
        InputError: `tokenizers` is not installed.
    """
    digest = fingerprint_of_saved_model_text_encoder(folder)
    graph = _load(folder)
    return text_encoder(open_tokenizer(folder / "saved_model.pb", _inputs(graph)), _runner(graph), digest)


def fingerprint_of_saved_model_text_encoder(folder: Path) -> str:
    """Hash the files of a text tower.

    Raises:
        ModelError: The tokenizer is missing.
    """
    return fingerprint.of_files(tokenizer_files(folder), fingerprint.of_saved_model(folder))


def _load(folder: Path) -> Any:
    """Load a SavedModel, and return its graph: the serving signature, or the first one of its call in inference mode.

    Raises:
        ModelError: It can't be loaded, has several signatures, or does more than compute.
    """
    call = load_function(folder, name=str(folder), output=None, trust=False, how=_HOW)
    signatures = getattr(call.module, "signatures", {})
    if _SIGNATURE in signatures:
        return signatures[_SIGNATURE]
    return min(call.concrete_functions(), key=lambda graph: True in _leaves(graph))


def _leaves(graph: Any) -> list[Any]:
    return list(import_tensorflow().nest.flatten(graph.structured_input_signature))


def _tensors(graph: Any) -> Iterator[Any]:
    spec = import_tensorflow().TensorSpec
    return (leaf for leaf in _leaves(graph) if isinstance(leaf, spec))


def _inputs(graph: Any) -> dict[str, TokenInput]:
    return {one.name: TokenInput(one.dtype.as_numpy_dtype, tuple(one.shape or ())) for one in _tensors(graph)}


def _runner(graph: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a function that runs a graph for the vector of a text.

    Raises:
        ModelError: It has no such output; or, when run, it does not take these tokens.
    """
    tf = import_tensorflow()
    shapes = {name: one.shape for name, one in named_outputs(graph.structured_outputs)}
    chosen = choose_output({name: shape.rank for name, shape in shapes.items()})
    if chosen is None:
        raise no_output_error(shapes)

    def run(inputs: dict[str, Any]) -> Any:
        values = [tf.constant(inputs[one.name]) if isinstance(one, tf.TensorSpec) else one for one in _leaves(graph)]
        arguments, named = tf.nest.pack_sequence_as(graph.structured_input_signature, values)
        try:
            return dict(named_outputs(graph(*arguments, **named)))[chosen]
        except tf.errors.OpError as error:
            raise run_error(inputs, str(error.message).splitlines()[0]) from error

    return run

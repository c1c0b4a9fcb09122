"""A text tower in two files: an ONNX graph, which OpenVINO runs, and the `tokenizer.json` of Hugging Face."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, ModelError, import_openvino, read_json
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.onnx_files import hash_model
from frieze.embedder.backbones.text_encoder import TextEncoder

LOGIT_SCALE = 100.0
"""Factor on cosines, which the files do not tell: networks trained as CLIP reach this limit. Source: Radford et al.
2021, section 2.5."""
_TOKENIZER, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_IDS, _MASK = "input_ids", "attention_mask"
_NAMES = ("text_embeds", "text_features", "sentence_embedding", "pooler_output")
"""Names that exporters give to the vector of a text."""
_ROWS_RANK = 2
_EXPORT = "Export the text tower alone, with its projection: input_ids [and attention_mask] -> [B, D]."


def open_onnx_text_encoder(path: Path) -> TextEncoder:
    """Open a text tower from its folder, or from its ONNX file with the tokenizer beside it.

    Raises:
        ModelError: A file is missing or can't be used.
        InputError: `tokenizers` or OpenVINO is not installed.
    """
    digest = fingerprint_of_onnx_text_encoder(path)
    model = _model_file(path)
    tokenizer, config = model.with_name(_TOKENIZER), model.with_name(_CONFIG)
    pad_token = _pad_token(config) if config.is_file() else None
    return TextEncoder(_encoder(_read_graph(model), _load_tokenizer(tokenizer), pad_token), digest, LOGIT_SCALE)


def fingerprint_of_onnx_text_encoder(path: Path) -> str:
    """Hash the files of a text tower.

    Raises:
        ModelError: One is missing, or holds weights outside of its own folder.
    """
    model = _model_file(path)
    files = {name: model.with_name(name) for name in (_TOKENIZER, _CONFIG) if model.with_name(name).is_file()}
    if _TOKENIZER not in files:
        raise ModelError(f"There is no {_TOKENIZER} beside {model}.", hint="Put the tokenizer of the text tower there.")
    return fingerprint.of_files(files, hash_model(model))


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
            f"The text tower {path} is expected to be an .onnx file, or a folder with one: it {what}.",
            hint=f"Pass the .onnx file of the text tower, with its {_TOKENIZER} beside it.",
        )
    return files[0]


def _load_tokenizer(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            f"{path} requires `tokenizers`, which is not installed.", hint="Type: pip install 'frieze[words]'"
        ) from error
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(
            f"{path} can't be read: {error}.", hint="Copy the tokenizer of the text tower again."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _pad_token(path: Path) -> str | None:
    """Return the token that fills up short texts; older files describe it as an object."""
    token = read_json(path, hint="Copy the files of the text tower again.").get("pad_token")
    return token.get("content") if isinstance(token, dict) else token


def _read_graph(path: Path) -> Any:
    """Read a graph that takes tokens.

    Raises:
        ModelError: It is broken, has operations that OpenVINO does not know, or takes something else.
        InputError: OpenVINO is not installed.
    """
    try:
        graph = import_openvino().Core().read_model(path)
    except ImportError as error:
        raise InputError(
            f"{path} requires OpenVINO, which is not installed.", hint="Type: pip install 'frieze[cpu]'"
        ) from error
    except RuntimeError as error:
        raise ModelError(f"{path} can't be read by OpenVINO: {str(error).splitlines()[-1]}", hint=_EXPORT) from error
    names = [one.get_any_name() for one in graph.inputs]
    if _IDS not in names or not set(names) <= {_IDS, _MASK}:
        raise ModelError(f"{path} takes {', '.join(names)}; expected are {_IDS}, and {_MASK} or not.", hint=_EXPORT)
    return graph


def _output(graph: Any) -> Any:
    """Return the output with the vector of a text: the only one [B, D], or the one with a usual name.

    Raises:
        ModelError: There is none.
    """
    rows = {one.get_any_name(): one for one in graph.outputs if one.get_partial_shape().rank == _ROWS_RANK}
    name = next((name for name in (*_NAMES, *(rows if len(rows) == 1 else ())) if name in rows), None)
    if name is None:
        every = ", ".join(f"{one.get_any_name()} {one.get_partial_shape()}" for one in graph.outputs)
        raise ModelError(f"The text tower has no output with the vector of a text; it has: {every}.", hint=_EXPORT)
    return rows[name]


def _encoder(graph: Any, tokenizer: Any, pad_token: str | None) -> Callable[[Sequence[str]], Floats]:
    """Return a function that embeds texts, one at a time: no text is padded for another one."""
    output, names = _output(graph), {one.get_any_name(): one for one in graph.inputs}
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    length = _context_length(names[_IDS])
    if length is not None:
        tokenizer.enable_truncation(length)
        pad_id = None if pad_token is None else tokenizer.token_to_id(pad_token)
        tokenizer.enable_padding(length=length, pad_id=pad_id or 0)
    number = output.get_index()

    def encode(texts: Sequence[str]) -> Floats:
        encoded = [tokenizer.encode(text) for text in texts]
        inputs = ({_IDS: one.ids, _MASK: one.attention_mask} for one in encoded)
        rows = (compiled({name: np.array([one[name]], _type(names[name])) for name in names})[number] for one in inputs)
        return np.concatenate([np.asarray(row, np.float32) for row in rows])

    return encode


def _context_length(tokens: Any) -> int | None:
    """Return the number of tokens that a graph requires; None for any."""
    axis = tokens.get_partial_shape()[1]
    return axis.get_length() if axis.is_static else None


def _type(tokens: Any) -> Any:
    return tokens.get_element_type().to_dtype()

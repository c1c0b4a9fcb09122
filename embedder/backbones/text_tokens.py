"""Tokens of a text tower in files: the `tokenizer.json` of Hugging Face beside it, its inputs and its output."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frieze.core import Floats, InputError, ModelError, read_json
from frieze.embedder.backbones.text_encoder import TextEncoder

_LOGIT_SCALE = 100.0
"""Factor on cosines, which the files do not tell: networks trained as CLIP reach this limit. Source: Radford et al.
2021, section 2.5."""
EXPORT = "Export the text tower alone, with its projection: input_ids [and attention_mask] -> [B, D]."
TOKENIZER, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_NAMES = ("text_embeds", "text_features", "sentence_embedding", "pooler_output")
"""Names that exporters give to the vector of a text."""
_MASK = "mask"  # a part of the name of the input that tells tokens from padding
_ROWS_RANK = 2

Tokenize = Callable[[str], dict[str, Any]]
"""A text -> inputs of a network by name, integers [1, L]."""


class TokenInput(NamedTuple):
    """An input of a text tower.

    Attributes:
        dtype: Its type.
        shape: Its shape, mostly [B, L]; None for an axis of any length.
    """

    dtype: Any
    shape: tuple[int | None, ...]

    @property
    def is_tokens(self) -> bool:
        """Whether it takes numbers [B, L]."""
        return len(self.shape) == _ROWS_RANK and np.dtype(self.dtype).kind in "iu"


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """Return the files of the tokenizer in a folder by name.

    Raises:
        ModelError: There is none.
    """
    files = {name: folder / name for name in (TOKENIZER, _CONFIG) if (folder / name).is_file()}
    if TOKENIZER not in files:
        raise ModelError(
            f"There is no {TOKENIZER} beside the text tower in {folder}.",
            hint="Put the tokenizer of the text tower there.",
        )
    return files


def choose_output(ranks: Mapping[str, int | None]) -> str | None:
    """Return the output with the vector of a text: the only one [B, D], or the one with a usual name; None without."""
    rows = [name for name, rank in ranks.items() if rank == _ROWS_RANK]
    return next((name for name in (*_NAMES, *(rows if len(rows) == 1 else ())) if name in rows), None)


def no_output_error(outputs: Mapping[str, Any]) -> ModelError:
    """Return the error of a text tower with these outputs, each with its shape."""
    every = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    return ModelError(f"The text tower has no output with the vector of a text; it has: {every}.", hint=EXPORT)


def open_tokenizer(path: Path, inputs: Mapping[str, TokenInput]) -> Tokenize:
    """Return a function that makes the inputs of a network from a text.

    Args:
        path: Its file, with the tokenizer beside it.
        inputs: What the network takes: tokens and, where it needs one, their mask.

    Raises:
        ModelError: The network takes something else, or the tokenizer can't be read.
        InputError: `tokenizers` is not installed.
    """
    ids = _ids(path, inputs)
    tokenizer = _tokenizer(path.parent, inputs[ids].shape[1])

    def tokenize(text: str) -> dict[str, Any]:
        one = tokenizer.encode(text)
        numbers = {name: one.ids if name == ids else one.attention_mask for name in inputs}
        return {name: np.array([values], inputs[name].dtype) for name, values in numbers.items()}

    return tokenize


def text_encoder(tokenize: Tokenize, run: Callable[[dict[str, Any]], Any], fingerprint: str) -> TextEncoder:
    """Return a text tower that embeds texts one at a time: no text is padded for another one.

    Args:
        tokenize: As of `open_tokenizer`.
        run: The network: its inputs -> the vector of a text, [1, D].
        fingerprint: Of its files.
    """

    def encode(texts: Sequence[str]) -> Floats:
        return np.concatenate([np.asarray(run(tokenize(text)), np.float32) for text in texts])

    return TextEncoder(encode, fingerprint, _LOGIT_SCALE)


def _ids(path: Path, inputs: Mapping[str, TokenInput]) -> str:
    """Return the input for the tokens, the only one that is no mask.

    Raises:
        ModelError: There are others.
    """
    names = [name for name in inputs if _MASK not in name]
    if len(names) != 1 or len(inputs) > 2 or not all(one.is_tokens for one in inputs.values()):  # noqa: PLR2004  both
        raise ModelError(
            f"{path} takes {', '.join(inputs) or 'nothing'}; expected are the integers input_ids [B, L], and"
            " attention_mask [B, L] or not.",
            hint=EXPORT,
        )
    return names[0]


def _tokenizer(folder: Path, length: int | None) -> Any:
    """Open the tokenizer in a folder; texts are cut and padded to a length, or kept as they are.

    Raises:
        ModelError: It can't be read.
        InputError: `tokenizers` is not installed.
    """
    files = tokenizer_files(folder)
    tokenizer = _load_tokenizer(files[TOKENIZER])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if length is not None:
        pad_token = _pad_token(files[_CONFIG]) if _CONFIG in files else None
        pad_id = None if pad_token is None else tokenizer.token_to_id(pad_token)
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=pad_id or 0)
    return tokenizer


def _load_tokenizer(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            f"{path} requires `tokenizers`, which is not installed.", hint="Type: pip install 'frieze[words]'"
        ) from error
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(
            f"{path} can't be read: {error}.", hint="Copy the tokenizer of the text tower again."
        ) from error


def _pad_token(path: Path) -> str | None:
    """Return the token that fills up short texts; older files describe it as an object."""
    token = read_json(path, hint="Copy the files of the text tower again.").get("pad_token")
    return token.get("content") if isinstance(token, dict) else token

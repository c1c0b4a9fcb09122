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
_MAX_LENGTH, _PAD_TOKEN = "model_max_length", "pad_token"
_NAMES = ("text_embeds", "text_features", "sentence_embedding", "pooler_output")
"""Names that exporters give to the vector of a text."""
MASK = "mask"  # a part of the name of the input that tells tokens from padding
_ROWS_RANK = 2
_LONGEST = 1_000_000
"""What `model_max_length` stays below where it is a length: Hugging Face writes 1e30 for none."""


class Tokens(NamedTuple):
    """The tokens of a text.

    Attributes:
        inputs: Inputs of a network by name, integers [1, L].
        is_cut: Whether the text has more tokens than the network takes.
    """

    inputs: dict[str, Any]
    is_cut: bool


Tokenize = Callable[[str], Tokens]


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


class Tables(NamedTuple):
    """Tables that a network reads by number, and whose end it does not check.

    Attributes:
        n_tokens: Rows of the tokens' table; None where unknown.
        n_positions: Rows of the positions' table; None where unknown, or where the network fails beyond its end.
    """

    n_tokens: int | None = None
    n_positions: int | None = None


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


def open_tokenizer(path: Path, inputs: Mapping[str, TokenInput], tables: Tables | None = None) -> Tokenize:
    """Return a function that makes the inputs of a network from a text.

    Args:
        path: Its file, with the tokenizer beside it.
        inputs: What the network takes: tokens and, where it needs one, their mask.
        tables: What the network reads without an error beyond its end.

    Raises:
        ModelError: The network takes something else, or the tokenizer can't be read or does not fit the network.
        InputError: `tokenizers` is not installed.
    """
    ids = _ids(path, inputs)
    length, is_masked = inputs[ids].shape[1], len(inputs) > 1
    tokenizer = _tokenizer(path.parent, length, is_masked=is_masked, tables=tables or Tables())

    def tokenize(text: str) -> Tokens:
        one = tokenizer.encode(text)
        numbers = {name: one.ids if name == ids else one.attention_mask for name in inputs}
        arrays = {name: np.array([values], inputs[name].dtype) for name, values in numbers.items()}
        return Tokens(arrays, bool(one.overflowing))

    return tokenize


def text_encoder(tokenize: Tokenize, run: Callable[[dict[str, Any]], Any], fingerprint: str) -> TextEncoder:
    """Return a text tower that embeds texts one at a time: no text is padded for another one.

    Args:
        tokenize: As of `open_tokenizer`.
        run: The network: its inputs -> the vector of a text, [1, D].
        fingerprint: Of its files.
    """

    def encode(texts: Sequence[str]) -> Floats:
        return np.concatenate([np.asarray(run(tokenize(text).inputs), np.float32) for text in texts])

    return TextEncoder(encode, fingerprint, _LOGIT_SCALE, lambda text: tokenize(text).is_cut)


def run_error(inputs: Mapping[str, Any], reason: str) -> ModelError:
    """Return the error of a network that fails with these inputs."""
    n_tokens = next(iter(inputs.values())).shape[1]
    return ModelError(
        f"The text tower can't be run with the tokens of its {TOKENIZER}, {n_tokens} for this text: {reason}",
        hint=f'The text may be too long for the network: set "{_MAX_LENGTH}" in {_CONFIG} to the most tokens that it'
        " takes. Or put the tokenizer of this text tower beside it.",
    )


def _ids(path: Path, inputs: Mapping[str, TokenInput]) -> str:
    """Return the input for the tokens, the only one that is no mask.

    Raises:
        ModelError: There are others.
    """
    names = [name for name in inputs if MASK not in name]
    if len(names) != 1 or len(inputs) > 2 or not all(one.is_tokens for one in inputs.values()):  # noqa: PLR2004  both
        raise ModelError(
            f"{path} takes {', '.join(inputs) or 'nothing'}; expected are the integers input_ids [B, L], and"
            " attention_mask [B, L] or not.",
            hint=EXPORT,
        )
    return names[0]


def _tokenizer(folder: Path, length: int | None, *, is_masked: bool, tables: Tables) -> Any:
    """Open the tokenizer in a folder; texts are cut and padded to a length, or only cut to the longest stated one.

    Raises:
        ModelError: It can't be read, or does not fit the network.
        InputError: `tokenizers` is not installed.
    """
    files = tokenizer_files(folder)
    tokenizer = _load_tokenizer(files[TOKENIZER])
    config = read_json(files[_CONFIG], hint="Copy the files of the text tower again.") if _CONFIG in files else {}
    longest = _stated_length(tokenizer, config) if length is None else length
    _check_tables(folder, tokenizer, longest, tables)
    pad_id = None if length is None else _pad_id(folder, tokenizer, config, is_masked=is_masked)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if longest is not None:
        tokenizer.enable_truncation(longest)
    if length is not None:
        tokenizer.enable_padding(length=length, pad_id=pad_id)
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


def _stated_length(tokenizer: Any, config: Mapping[str, Any]) -> int | None:
    """Return the most tokens of a text that the tokenizer's files state; None where they state none."""
    stated = [(tokenizer.truncation or {}).get("max_length"), config.get(_MAX_LENGTH)]
    lengths = [int(one) for one in stated if isinstance(one, int | float) and one is not True and 1 <= one <= _LONGEST]
    return min(lengths, default=None)


def _check_tables(folder: Path, tokenizer: Any, longest: int | None, tables: Tables) -> None:
    """Check that no token or position is beyond a table of the network, where it would read zeros.

    Raises:
        ModelError: One is.
    """
    n_tokens = 1 + max(tokenizer.get_vocab().values(), default=-1)
    if tables.n_tokens is not None and n_tokens > tables.n_tokens:
        raise ModelError(
            f"{folder / TOKENIZER} has {n_tokens} tokens, the network {tables.n_tokens}.",
            hint="Put the tokenizer of this text tower beside it.",
        )
    if tables.n_positions is not None and (longest is None or longest > tables.n_positions):
        raise ModelError(
            f"The text tower in {folder} has a table of {tables.n_positions} positions, beyond which it reads zeros;"
            f" its tokenizer makes texts of {'any length' if longest is None else f'up to {longest} tokens'}.",
            hint=f'Set "{_MAX_LENGTH}" in {_CONFIG} to the most tokens that the network takes.',
        )


def _pad_id(folder: Path, tokenizer: Any, config: Mapping[str, Any], *, is_masked: bool) -> int:
    """Return the number of the token that fills up short texts.

    Raises:
        ModelError: The files name none that the tokenizer knows, and there is no mask to hide it.
    """
    hint = f'Set "{_PAD_TOKEN}" in {_CONFIG} to the token, of {TOKENIZER}, with which the network was trained.'
    named = config.get(_PAD_TOKEN)
    token = named.get("content") if isinstance(named, dict) else named  # older files describe it as an object
    if named is None and tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    if named is None and is_masked:
        return 0
    if named is None:
        raise ModelError(
            f"The text tower in {folder} takes texts of a fixed length without a mask, and no file names the token"
            " that fills up short ones.",
            hint=hint,
        )
    number = tokenizer.get_vocab().get(token) if isinstance(token, str) else None
    if number is None:
        raise ModelError(f"{folder / _CONFIG} has the {_PAD_TOKEN} {named!r}, which {TOKENIZER} lacks.", hint=hint)
    return int(number)

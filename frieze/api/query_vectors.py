"""Queries of a search -> query vectors."""

import functools
import numbers
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieze import terminal
from frieze.core import TEXT, Floats, InputError, MismatchError
from frieze.features import check_can_embed
from frieze.search_document import notes_on_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from frieze.embedder import TextEncoder
    from frieze.indexing import Index

_ID = "id:"
_VECTOR_AXES = (1, 2)  # one vector [D], or several [n, D]
_FILE_HINT = "Save float vectors [n, D] with numpy.save('FILE.npy', vectors)."
_QUERY_HINT = (
    "Give an image file, id:NAME, text:WORDS, FILE.npy, a PIL image, uint8 pixels [H, W, 3] or float vectors [n, D],"
    " or a list of these; convert pixels in [0, 1] by (pixels * 255).round().astype('uint8')."
)


class Queries(NamedTuple):
    """The queries of a search.

    Attributes:
        names: One per vector; `FILE.npy[ROW]` where a file holds several; in memory `image N` or `vector N` with its
            number among the names, from 0.
        vectors: float32 [Q, D].
        notes: Sentences on queries in words.
    """

    names: list[str]
    vectors: Floats
    notes: list[str]


def to_vectors(index: "Index", query: Any, *, where: str) -> Queries:
    """Name and embed each query; the backbone is loaded only when one is an image.

    Args:
        index: The index to search, in which stored images are looked up.
        query: One of these, or a sequence: an image file, `id:NAME`, `text:WORDS`, a `.npy` file of vectors [D] or
            [n, D], a PIL image, an image file's bytes, uint8 pixels [H, W, 3] or [n, H, W, 3], vectors [D] or [n, D]
            of floats.
        where: The index's name, for messages.

    Raises:
        InputError: A query can't be used; the message names it.
        MismatchError: Vectors have another width than the index.
    """
    queries = list(_flatten(query))
    if not queries:
        raise InputError("There is no query.", hint="Give an image, id:NAME, text:WORDS or FILE.npy.")
    text_encoder = functools.cache(lambda: _open_text_encoder(index, where=where))
    stored = [None if _is_image(one) else _stored_vectors(index, one, text_encoder) for one in queries]
    names = _name(queries, [1 if vectors is None else len(vectors) for vectors in stored])
    images = [(of_one[0], one) for of_one, one, vectors in zip(names, queries, stored, strict=True) if vectors is None]
    embedded = iter(_embed_images(index, images, where=where))
    blocks = [next(embedded)[None] if vectors is None else vectors for vectors in stored]
    texts = [one for one in queries if isinstance(one, str) and one.startswith(TEXT)]
    notes = notes_on_words(index, [cut for text in texts for cut in text_encoder().cut_texts(text)]) if texts else []
    return Queries([name for of_one in names for name in of_one], np.concatenate(blocks), notes)


def _flatten(query: Any) -> Iterator[Any]:
    """Yield single queries: each a text, an image in memory, or an array of vectors.

    Raises:
        InputError: A query has another type.
    """
    if isinstance(query, str | Path):
        yield str(query)
    elif _is_picture(query):
        yield query
    elif hasattr(query, "__array__"):  # of NumPy, or a tensor
        yield from _flatten_array(np.asarray(query))
    elif isinstance(query, Sequence) and query and all(isinstance(one, numbers.Real) for one in query):
        yield np.asarray(query)
    elif isinstance(query, Sequence):
        for one in query:
            yield from _flatten(one)
    else:
        raise InputError(f"{type(query).__name__} is no query.", hint=_QUERY_HINT)


def _flatten_array(values: Any) -> Iterator[Any]:
    if values.dtype != np.uint8 or values.ndim < 2:  # noqa: PLR2004  an image has two axes or more
        yield values
        return
    import frieze.embedder

    yield from frieze.embedder.as_images(values)


def _is_picture(query: Any) -> bool:
    """Return whether it is an image in memory that is no array."""
    if isinstance(query, bytes | bytearray | memoryview):
        return True
    from PIL import Image

    return isinstance(query, Image.Image)


def _is_image(query: Any) -> bool:
    """Return whether a single query is an image, in a file or in memory."""
    if isinstance(query, str):
        return not (query.startswith((_ID, TEXT)) or query.endswith(".npy"))
    return _is_picture(query) or (query.dtype == np.uint8 and query.ndim > 1)


def _name(queries: Sequence[Any], lengths: Sequence[int]) -> list[list[str]]:
    """Return the names of the vectors of each query."""
    named, n_named = [], 0
    for query, n_vectors in zip(queries, lengths, strict=True):
        if isinstance(query, str):
            named.append([query] if n_vectors == 1 else [f"{query}[{row}]" for row in range(n_vectors)])
        else:
            kind = "image" if _is_image(query) else "vector"
            named.append([f"{kind} {n_named + row}" for row in range(n_vectors)])
        n_named += n_vectors
    return named


def _embed_images(index: "Index", images: Sequence[tuple[str, Any]], *, where: str) -> Sequence[Floats]:
    """Embed (name, image) pairs."""
    if not images:
        return []
    import frieze.embedder

    for image in (one for _, one in images if isinstance(one, str)):  # before the seconds of loading the backbone
        if not (Path(image).is_file() or frieze.embedder.split_part(image)):
            raise InputError(f"There is no file {image}.", hint=f"Check the path; name a stored image as id:{image}")
    hint = f"Search by {_ID}NAME, or by a .npy file of vectors made the same way."
    check_can_embed(index.spec, where=where, hint=hint)
    names, values = zip(*images, strict=True)
    with terminal.spinner("Loading the backbone"):
        backbone = frieze.embedder.reopen_backbone(index.spec, where=where)
        embedded = frieze.embedder.embed_images(
            values, backbone, names=names, warn=lambda note: terminal.NOTES.warning("%s", note)
        )
        return list(embedded)


def _open_text_encoder(index: "Index", *, where: str) -> "TextEncoder":
    """Open the text tower of an index, once for all queries in words."""
    import frieze.embedder

    with terminal.spinner("Loading the text tower"):
        return frieze.embedder.open_text_encoder(index.spec, where=where)


def _stored_vectors(index: "Index", query: Any, text_encoder: "Callable[[], TextEncoder]") -> Floats:
    if not isinstance(query, str):
        return _check_vectors(query, index, "The array", hint=_QUERY_HINT)
    if query.startswith(_ID):
        return index.embedding(query.removeprefix(_ID))[None]
    if query.startswith(TEXT):
        return text_encoder().query_vector(query)[None]
    try:
        with Path(query).open("rb") as file:
            vectors = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{query} can't be read as vectors: {error}.", hint=_FILE_HINT) from error
    return _check_vectors(vectors, index, query, hint=_FILE_HINT)


def _check_vectors(vectors: Any, index: "Index", name: str, *, hint: str) -> Floats:
    if vectors.dtype.kind not in "fiu" or vectors.ndim not in _VECTOR_AXES:
        raise InputError(f"{name} holds no vectors: its shape is {vectors.shape}, its type {vectors.dtype}.", hint=hint)
    if vectors.shape[-1] != index.spec.dim:
        from frieze.indexing import width_hint

        raise MismatchError(
            f"{name} holds vectors of width {vectors.shape[-1]}, the index of width {index.spec.dim}.",
            hint=width_hint(index.spec),
        )
    return np.atleast_2d(vectors).astype(np.float32)

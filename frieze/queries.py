"""What a user asks for -> vectors to search by."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features import Floats, InputError, check_can_embed
from frieze import output

if TYPE_CHECKING:
    from index import Index

_ID = "id:"
_VECTOR_AXES = (1, 2)  # one vector [D], or several [n, D]


def to_vectors(index: "Index", queries: Sequence[str], *, where: str) -> tuple[list[str], Floats]:
    """Name and embed each query; the backbone is loaded only when one is an image.

    Args:
        index: Where the stored ones are looked up.
        queries: Image files, `id:NAME` or `.npy` files of vectors [D] or [n, D].
        where: The index's name, for messages.

    Returns:
        names: One a vector; `FILE.npy[ROW]` where a file holds several.
        vectors: float32 [Q, D].

    Raises:
        InputError: A query can't be used; the message names it.
    """
    if not queries:
        raise InputError("There is no query.", mend="Give an image, id:NAME or FILE.npy.")
    images = [query for query in queries if not _is_stored(query)]
    of_images = _embed_images(index, images, where=where) if images else {}
    found = [of_images[query] if query in of_images else _stored_vectors(index, query) for query in queries]
    names = [
        query if len(vectors) == 1 else f"{query}[{row}]"
        for query, vectors in zip(queries, found, strict=True)
        for row in range(len(vectors))
    ]
    return names, np.concatenate(found)


def _embed_images(index: "Index", images: Sequence[str], *, where: str) -> dict[str, Floats]:
    for image in images:  # before the seconds that a backbone takes to load
        if not Path(image).is_file():
            raise InputError(
                f"There is no file {image}.", mend=f"Check the path; a stored image is asked for by id:{image}"
            )
    check_can_embed(index.spec, where=where, mend=f"Ask by {_ID}NAME, or by a .npy file of vectors made the same way.")
    import embedder

    with output.waiting("Loading the backbone"):
        backbone = embedder.reopen_backbone(index.spec, where=where)
        vectors = embedder.embed_images(images, backbone, warn=lambda what: output.say(f"Note: {what}"))
        return dict(zip(images, vectors[:, None], strict=True))


def _is_stored(query: str) -> bool:
    return query.startswith(_ID) or query.endswith(".npy")


def _stored_vectors(index: "Index", query: str) -> Floats:
    if query.startswith(_ID):
        return index.embedding(query.removeprefix(_ID))[None]
    mend = "Save float vectors [n, D] with numpy.save('FILE.npy', vectors)."
    try:
        with Path(query).open("rb") as file:
            vectors = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{query} can't be read as vectors: {error}.", mend=mend) from error
    if vectors.dtype.kind not in "fiu" or vectors.ndim not in _VECTOR_AXES:
        raise InputError(
            f"{query} holds no vectors: its shape is {vectors.shape}, its type {vectors.dtype}.", mend=mend
        )
    return np.atleast_2d(vectors).astype(np.float32)

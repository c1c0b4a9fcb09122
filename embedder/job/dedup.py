"""Which bytes have an embedding already: equal ones run through the backbone once."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pyarrow as pa

from frieze.core import Floats
from frieze.features import to_embeddings

_CACHED_PARTS = 4


class CachedEmbedding(NamedTuple):
    """What is known of an image's bytes.

    Attributes:
        embedding: float32 [D].
        width: Pixels, as displayed.
        height: The same.
    """

    embedding: Floats
    width: int
    height: int


class EmbeddingCache:
    """What the table holds, and what is on its way there, by the sha256 of the images' bytes.

    Asked from many threads, told from those that embed and write: each step is one operation on a dict.

    Args:
        learned: Reads the computed columns of a part by its number, as `FeatureWriter.computed_columns` does.
        stored: sha256 -> number of the part, of the rows that stay in the table.
    """

    def __init__(self, learned: Callable[[int], pa.Table], stored: dict[bytes, int]) -> None:
        self._parts = stored
        self._flying: dict[bytes, CachedEmbedding] = {}
        self._expected: set[bytes] = set()
        self._read = functools.lru_cache(_CACHED_PARTS)(lambda number: _by_digest(learned(number)))

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._expected or digest in self._flying or digest in self._parts

    def expect(self, digests: Iterable[bytes]) -> None:
        """Note what an engine is at: another image with these bytes need not run, for its batch ends later."""
        self._expected.update(digests)

    def get(self, digest: bytes) -> CachedEmbedding | None:
        """Give what is known of some bytes; None for new ones."""
        flying = self._flying.get(digest)  # first: a commit moves it from here to the parts
        if flying is not None or digest not in self._parts:
            return flying
        return self._read(self._parts[digest])[digest]

    def add(self, digest: bytes, seen: CachedEmbedding | None) -> None:
        """Note what was embedded and is not written yet; None where nothing usable came."""
        if seen is not None:
            self._flying[digest] = seen
        self._expected.discard(digest)

    def settle(self, part: int, digests: Iterable[bytes]) -> None:
        """Note that a part with these stands now; its vectors need not be kept in memory any more."""
        for digest in digests:
            self._parts[digest] = part
            self._flying.pop(digest, None)
        self._read.cache_clear()  # the part may have been another one before


def _by_digest(part: pa.Table) -> dict[bytes, CachedEmbedding]:
    embeddings = to_embeddings(part["embedding"])
    facts = zip(*(part[name].to_pylist() for name in ("sha256", "width", "height")), strict=True)
    return {
        bytes.fromhex(sha256): CachedEmbedding(embedding, width, height)
        for (sha256, width, height), embedding in zip(facts, embeddings, strict=True)
        if sha256 is not None
    }

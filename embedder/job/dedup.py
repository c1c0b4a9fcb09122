"""Deduplicate images by the sha256 of their bytes: equal bytes run through the backbone once."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from frieze.core import Floats
from frieze.features import HASHES, STATISTICS, to_embeddings

_CACHED_PARTS = 4


class CachedEmbedding(NamedTuple):
    """The embedding of an image's bytes.

    Attributes:
        embedding: float32 [D].
        width: Pixels, as displayed.
        height: Pixels, as displayed.
        phash: Perceptual hash of the whole image; 0 for none.
        content_phash: Perceptual hash of the part inside flat borders; 0 for none.
        statistics: float32 [6], in the order of `STATISTICS`; None for none.
    """

    embedding: Floats
    width: int
    height: int
    phash: int = 0
    content_phash: int = 0
    statistics: Floats | None = None


def _no_part(number: int) -> pa.Table:
    raise ValueError(f"there is no part {number}: the cache has no table")


class EmbeddingCache:
    """Embeddings by the sha256 of the images' bytes: those stored in the table, and those not written yet.

    Threads that decode, embed and write share it: each step is one operation on a dict. Without arguments it is empty.

    Args:
        read_part: Part number -> computed columns of the part, such as `FeatureWriter.computed_columns`.
        stored: sha256 -> number of the part, of the rows that stay in the table.
    """

    def __init__(self, read_part: Callable[[int], pa.Table] = _no_part, stored: dict[bytes, int] | None = None) -> None:
        self._parts = {} if stored is None else stored
        self._pending: dict[bytes, CachedEmbedding] = {}
        self._in_flight: set[bytes] = set()
        self._read = functools.lru_cache(_CACHED_PARTS)(lambda number: _by_digest(read_part(number)))

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._in_flight or digest in self._pending or digest in self._parts

    def mark_in_flight(self, digests: Iterable[bytes]) -> None:
        """Note bytes that an engine is embedding: another image with these bytes need not run."""
        self._in_flight.update(digests)

    def get(self, digest: bytes) -> CachedEmbedding | None:
        """Look up the embedding of some bytes; None for new ones."""
        pending = self._pending.get(digest)  # first: a commit moves it from here to the parts
        if pending is not None or digest not in self._parts:
            return pending
        return self._read(self._parts[digest])[digest]

    def add(self, digest: bytes, embedding: CachedEmbedding | None) -> None:
        """Add an embedding that is not written yet; None where the backbone returned nothing usable."""
        if embedding is not None:
            self._pending[digest] = embedding
        self._in_flight.discard(digest)

    def mark_committed(self, part: int, digests: Iterable[bytes]) -> None:
        """Note that a part with these bytes is committed; their embeddings leave the memory."""
        for digest in digests:
            self._parts[digest] = part
            self._pending.pop(digest, None)
        self._read.cache_clear()  # the part may have been rewritten


def _by_digest(part: pa.Table) -> dict[bytes, CachedEmbedding]:
    embeddings = to_embeddings(part["embedding"])
    hashes = [part[name].fill_null(0) for name in HASHES if name in part.column_names]
    columns = zip(*(column.to_pylist() for column in (part["width"], part["height"], *hashes)), strict=True)
    measured = [part[name].to_numpy() for name in STATISTICS if name in part.column_names]
    statistics = np.column_stack(measured) if measured else [None] * len(part)
    return {
        bytes.fromhex(sha256): CachedEmbedding(embedding, *values)._replace(statistics=one)
        for sha256, embedding, values, one in zip(
            part["sha256"].to_pylist(), embeddings, columns, statistics, strict=True
        )
        if sha256 is not None
    }

"""Hashes of files: which column holds such, and whether rows of one file have one vector."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats

_HASH = "^[0-9a-fA-F]{64}$"
_TOLERANCE = 0.05  # of a vector's length: one network's vectors of one file differ by far less, those of two by more


def to_hashes(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Give texts in lower case, null where they are blank: there no hash is known.

    >>> to_hashes(pa.array(["AB", " ", None])).to_pylist()
    ['ab', None, None]
    """
    texts = pc.ascii_lower(pc.utf8_trim_whitespace(texts))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def find_no_hash(texts: pa.Array | pa.ChunkedArray) -> str | None:
    """Give the first text that is neither 64 hexadecimal digits nor blank; None where there is none.

    >>> find_no_hash(pa.array(["0" * 64, "", None])), find_no_hash(pa.array(["unknown"]))
    (None, 'unknown')
    """
    hashes = to_hashes(texts)
    others = texts.filter(pc.invert(pc.match_substring_regex(hashes, _HASH)))
    return others[0].as_py() if len(others) else None


class EqualFiles:
    """Rows seen so far, by the hash of their file.

    Of each vector two projections onto fixed random directions are held, not the vector: two others meet in both once
    in a thousand pairs.

    Args:
        dim: Width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        self._onto = np.random.default_rng(0).normal(size=(dim, 2)).astype(np.float32)
        self._first: dict[int, tuple[int, complex]] = {}
        self._n_rows = 0

    def project(self, embeddings: Floats) -> list[tuple[complex, float]]:
        """Give what `add` wants to know of vectors, float32 [n, D]."""
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(embeddings, axis=1).tolist()
            return [
                (complex(*pair), length)
                for pair, length in zip((embeddings @ self._onto).tolist(), lengths, strict=True)
            ]

    def add(self, hashes: list[str | None], projected: list[tuple[complex, float]]) -> list[tuple[int, int]]:
        """Look at the next rows.

        Args:
            hashes: Of their files, None where unknown.
            projected: From `project`, of their vectors; those that are not finite are left out.

        Returns:
            The numbers of rows, counted over all calls, whose vector is not that of the first row with their hash, each
            after the number of that one.
        """
        others = []
        for row, (name, (at, length)) in enumerate(zip(hashes, projected, strict=True), self._n_rows):
            if name is None or not np.isfinite(length):
                continue
            first, there = self._first.setdefault(hash(name), (row, at))
            if abs(at - there) > _TOLERANCE * length:
                others.append((first, row))
        self._n_rows += len(hashes)
        return others

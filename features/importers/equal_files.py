"""Check a column of file hashes: its format, and that rows with equal hashes have equal vectors."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats

_HASH = "^[0-9a-fA-F]{64}$"
_TOLERANCE = 0.05  # of a vector's length: vectors of one file differ by far less, those of two files by more


def to_hashes(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Convert texts to lower case, and blank ones to null.

    >>> to_hashes(pa.array(["AB", " ", None])).to_pylist()
    ['ab', None, None]
    """
    texts = pc.ascii_lower(pc.utf8_trim_whitespace(texts))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def find_no_hash(texts: pa.Array | pa.ChunkedArray) -> str | None:
    """Return the first text that is neither 64 hexadecimal digits nor blank; None where there is none.

    >>> find_no_hash(pa.array(["0" * 64, "", None])), find_no_hash(pa.array(["unknown"]))
    (None, 'unknown')
    """
    hashes = to_hashes(texts)
    others = texts.filter(pc.invert(pc.match_substring_regex(hashes, _HASH)))
    return others[0].as_py() if len(others) else None


class EqualFiles:
    """The rows added so far, by the hash of their file.

    Two projections of each vector onto fixed random directions are kept instead of the vector; different vectors agree
    in both once in a thousand pairs.

    Args:
        dim: Width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        self._onto = np.random.default_rng(0).normal(size=(dim, 2)).astype(np.float32)
        self._first: dict[int, tuple[int, complex]] = {}
        self._n_rows = 0

    def project(self, embeddings: Floats) -> list[tuple[complex, float]]:
        """Compute projections and lengths of vectors, float32 [n, D], for `add`."""
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(embeddings, axis=1).tolist()
            return [
                (complex(*pair), length)
                for pair, length in zip((embeddings @ self._onto).tolist(), lengths, strict=True)
            ]

    def add(self, hashes: list[str | None], projected: list[tuple[complex, float]]) -> list[tuple[int, int]]:
        """Add the next rows.

        Args:
            hashes: The hashes of their files, None where unknown.
            projected: The result of `project`; vectors that are not finite are ignored.

        Returns:
            Pairs of row numbers, counted over all calls: the first row of a hash, and a row whose vector differs.
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

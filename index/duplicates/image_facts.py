"""What is stored of each image that matters for duplicates: equal files, hashes, and which one to prefer."""

import dataclasses
import fnmatch
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.features import HASHES, Hashes
from frieze.indexing.stored_index import Index

KEEP = ("best", "oldest", "largest")
"""Which image of a group to keep; anything else is a pattern of paths."""

_COLUMNS = ("uri", "sha256", "size_bytes", "width", "height", "mtime_ns")
_RAW = (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw")
_ENOUGH_BITS = 0.8  # of a pixel
_LATEST = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """Facts of each image of an index.

    Attributes:
        uris: string [N].
        versions: The sha256 of its bytes, object [N]; empty where it is not known.
        files: int64 [N], equal for equal bytes; -1 where the bytes are not known.
        representatives: int64 [N]: of the images of equal bytes the row of the preferred one.
        ranks: int64 [N]: order of preference, the best first; negative for those that were asked for by a pattern.
        n_pixels: int64 [N]; 0 where it is not known.
        hashes: uint64 [N, 2]: perceptual hashes of the whole and of what lies inside its borders; 0 for none.
        has_hashes: Whether the table has hashes at all.
        decoding: What its decoding states beside a version, such as `+scale=0..255`: pixels depend on it.
    """

    uris: pa.ChunkedArray
    versions: npt.NDArray[Any]
    files: Rows
    representatives: Rows
    ranks: Rows
    n_pixels: Rows
    hashes: Hashes
    has_hashes: bool
    decoding: str = ""


def read_image_facts(index: Index, keep: str) -> ImageFacts:
    """Read the facts of all images.

    Args:
        index: An opened index.
        keep: One of `KEEP`, or a pattern of paths.

    Raises:
        InputError: No image's path or id has that pattern.
    """
    metadata = index.row_metadata.columns(_COLUMNS)
    files = _number_texts(metadata["sha256"])
    n_pixels = _to_integers(metadata["width"]) * _to_integers(metadata["height"])
    ranks = _rank(index, metadata, n_pixels, keep)
    hashes = index.row_metadata.columns(HASHES)
    return ImageFacts(
        uris=metadata["uri"],
        versions=_texts(metadata["sha256"]),
        files=files,
        representatives=_representatives(files, ranks),
        ranks=ranks,
        n_pixels=n_pixels,
        hashes=np.column_stack([_or_none(hashes[name], len(index)) for name in HASHES]),
        has_hashes=not any(pa.types.is_null(column.type) for column in hashes.columns),
        decoding="".join(index.spec.decoding.partition("+")[1:]),
    )


def _or_none(column: pa.ChunkedArray, n_rows: int) -> Hashes:
    if pa.types.is_null(column.type):
        return np.zeros(n_rows, np.uint64)
    hashes: Hashes = column.fill_null(0).to_numpy()
    return hashes


def _rank(index: Index, metadata: pa.Table, n_pixels: Rows, keep: str) -> Rows:
    """Number the images by preference: RAW, most pixels, least compressed, oldest, shortest path, first id.

    A copy that was encoded again often has more bytes than its original: from .8 bits a pixel on they say nothing.
    """
    uris = metadata["uri"]
    is_raw = np.array([uri is not None and uri.lower().endswith(_RAW) for uri in uris.to_pylist()], bool)
    age = _to_integers(metadata["mtime_ns"], missing=_LATEST)
    names = np.asarray(pc.rank(index.row_metadata.ids, sort_keys="ascending", tiebreaker="first"))
    bits = np.minimum(8 * _to_integers(metadata["size_bytes"]) / np.maximum(n_pixels, 1), _ENOUGH_BITS)
    best = [names, pc.utf8_length(uris).fill_null(0).to_numpy(), age, -bits, -n_pixels]
    first = {"oldest": [age], "largest": []}.get(keep, [~is_raw])
    ranks = np.empty(len(uris), np.int64)
    ranks[np.lexsort([*best, *first])] = np.arange(len(uris))
    return ranks if keep in KEEP else ranks - len(uris) * _matches(index, uris, keep)


def _matches(index: Index, uris: pa.ChunkedArray, pattern: str) -> Rows:
    """Return 1 for each image whose path or id has a pattern."""
    matching = [
        any(name is not None and fnmatch.fnmatchcase(name, pattern) for name in names)
        for names in zip(index.ids.tolist(), uris.to_pylist(), strict=True)
    ]
    if not any(matching):
        raise InputError(
            f"No image's path or id matches {pattern!r}.",
            hint="Give a pattern of the whole path such as '*/originals/*', or best, oldest or largest.",
        )
    return np.array(matching, np.int64)


def _representatives(files: Rows, ranks: Rows) -> Rows:
    """Return of each row the preferred one of equal bytes; a row whose bytes are not known is its own."""
    representatives = np.arange(len(files))
    known = np.flatnonzero(files >= 0)
    known = known[np.argsort(ranks[known], kind="stable")]
    _, at, number = np.unique(files[known], return_index=True, return_inverse=True)
    representatives[known] = known[at[number]]
    return representatives


def _number_texts(texts: pa.ChunkedArray) -> Rows:
    """Number texts, int64 [N]: equal texts have equal numbers; -1 where there is none, or a blank one."""
    if pa.types.is_null(texts.type):
        return np.full(len(texts), -1, np.int64)
    texts = pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), pa.scalar(None, texts.type), texts)
    codes = texts.dictionary_encode().combine_chunks().indices
    numbers: Rows = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _texts(texts: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.array([text or "" for text in texts.to_pylist()], object)


def _to_integers(numbers: pa.ChunkedArray, missing: int = 0) -> Rows:
    if pa.types.is_null(numbers.type):
        return np.full(len(numbers), missing, np.int64)
    counts: Rows = numbers.cast(pa.int64()).fill_null(missing).to_numpy()
    return counts

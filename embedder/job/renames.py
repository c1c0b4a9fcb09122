"""Find renamed, touched and relabelled images by their bytes: their embedding is kept, not computed again."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows
from frieze.embedder.sources import Source
from frieze.features import Comparison, FeatureWriter

_ROWS_A_CALL = 64


def find_renamed(
    comparison: Comparison, source: Source, writer: FeatureWriter, *, workers: int, step: Callable[[int, int], None]
) -> Rows:
    """Find the stored row with the same bytes for each image that may have one.

    Only images that can be equal are read and hashed: a stored image with another time but the same size, and a new
    image with the size of a removed one. Images of the web are not: each would be fetched twice.

    Args:
        comparison: The listing compared with the table.
        source: Reads the bytes.
        writer: The table.
        workers: Threads that read, where the source can be read by several.
        step: Called with the number of images read, and of those to read.

    Returns:
        int64 [N], -1 for none: the `source_rows` of `make_plan`.
    """
    source_rows = np.where(comparison.same_size_and_mtime & ~comparison.is_same, comparison.stored_rows, -1)
    rows = np.flatnonzero(_may_be_stored(comparison))
    if len(rows) == 0:
        return source_rows
    hashes = writer.hashes()
    removed = np.flatnonzero(comparison.removed)
    removed_by_hash = dict(zip(hashes.take(removed).to_pylist(), removed.tolist(), strict=True))
    for row, sha256 in zip(rows.tolist(), _hash(source, rows, workers, step), strict=True):
        stored_row = int(comparison.stored_rows[row])
        if stored_row < 0:
            source_rows[row] = removed_by_hash.get(sha256, -1)
        elif hashes[stored_row].as_py() == sha256:
            source_rows[row] = stored_row
    return source_rows


def _may_be_stored(comparison: Comparison) -> np.ndarray:
    images, stored = comparison.images, comparison.stored
    sizes = images["size_bytes"]
    stored_sizes = stored["size_bytes"].take(pa.array(comparison.stored_rows, mask=comparison.stored_rows < 0))
    has_same_size = (
        pc.fill_null(pc.equal(sizes, stored_sizes), fill_value=True).to_numpy() & ~comparison.same_size_and_mtime
    )
    removed_sizes = stored["size_bytes"].filter(pa.array(comparison.removed)).combine_chunks()
    has_removed_size = pc.or_(sizes.is_null(), pc.is_in(sizes, removed_sizes)).to_numpy() & comparison.removed.any()
    is_web = pc.match_substring_regex(comparison.images["uri"], "^(?i)https?://").to_numpy()
    return np.where(comparison.is_stored, has_same_size, has_removed_size) & ~is_web  # type: ignore[no-any-return]


def _hash(source: Source, rows: Rows, workers: int, step: Callable[[int, int], None]) -> Iterator[str | None]:
    """Compute the sha256 of each row's bytes, hex; None where they can't be read."""
    blocks = np.split(rows, range(_ROWS_A_CALL, len(rows), _ROWS_A_CALL))
    pool = ThreadPoolExecutor(1 if source.in_order else workers, thread_name_prefix="frieze-hash")
    try:
        hashed = pool.map(lambda block: [_sha256(content) for content in source.read(block)], blocks)
        for n_read, sha256 in enumerate(itertools.chain.from_iterable(hashed), 1):
            step(n_read, len(rows))
            yield sha256
    finally:  # after Ctrl-C the blocks that wait are not read
        pool.shutdown(cancel_futures=True)


def _sha256(content: object) -> str | None:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else None

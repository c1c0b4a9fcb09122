"""Images that are stored already under another name, time or label: their embedding is kept."""

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
    """Find the stored row with the bytes of each image, for those that may have one.

    Read and hashed is only what can be the same: a stored image with another time but the same size, and a new image
    with the size of one that is gone.

    Args:
        comparison: The listing held against the table.
        source: Gives the bytes.
        writer: The table.
        workers: Threads that read, where the source can be read by many.
        step: Told how many were read, of how many.

    Returns:
        int64 [N], -1 where there is none: the `source_rows` of `make_plan`.
    """
    source_rows = np.where(comparison.same_size_and_mtime & ~comparison.is_same, comparison.stored_rows, -1)
    rows = np.flatnonzero(_may_be_stored(comparison))
    if len(rows) == 0:
        return source_rows
    hashes = writer.hashes()
    gone = np.flatnonzero(comparison.removed)
    names = dict(zip(hashes.take(gone).to_pylist(), gone.tolist(), strict=True))
    for row, found in zip(rows.tolist(), _hash(source, rows, workers, step), strict=True):
        place = int(comparison.stored_rows[row])
        if place < 0:
            source_rows[row] = names.get(found, -1)
        elif hashes[place].as_py() == found:
            source_rows[row] = place
    return source_rows


def _may_be_stored(comparison: Comparison) -> np.ndarray:
    images, stored = comparison.images, comparison.stored
    sizes = images["size_bytes"]
    own = stored["size_bytes"].take(pa.array(comparison.stored_rows, mask=comparison.stored_rows < 0))
    as_before = pc.fill_null(pc.equal(sizes, own), fill_value=True).to_numpy() & ~comparison.same_size_and_mtime
    of_gone = stored["size_bytes"].filter(pa.array(comparison.removed))
    as_gone = pc.or_(sizes.is_null(), pc.is_in(sizes, of_gone.combine_chunks())).to_numpy() & comparison.removed.any()
    return np.where(comparison.is_stored, as_before, as_gone)  # type: ignore[no-any-return]


def _hash(source: Source, rows: Rows, workers: int, step: Callable[[int, int], None]) -> Iterator[str | None]:
    """Give the sha256 of each row's bytes, hex; None where they can't be read."""
    pieces = np.split(rows, range(_ROWS_A_CALL, len(rows), _ROWS_A_CALL))
    pool = ThreadPoolExecutor(1 if source.in_order else workers, thread_name_prefix="frieze-hash")
    try:
        hashed = pool.map(lambda piece: [_sha256(content) for content in source.read(piece)], pieces)
        for done, found in enumerate(itertools.chain.from_iterable(hashed), 1):
            step(done, len(rows))
            yield found
    finally:  # after Ctrl-C the pieces that wait are not read
        pool.shutdown(cancel_futures=True)


def _sha256(content: object) -> str | None:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else None

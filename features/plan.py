"""What a run has to do: the source's listing held against what is stored, cut into shards."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Rows
from features.listing import Listing

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Shard:
    """The unit of work: one part to be written.

    Attributes:
        part: Number of the part.
        rows: int64, the listing's rows to embed into it; may be empty.
        drop: Ids that leave the part, because they are gone or come anew.
    """

    part: int
    rows: Rows
    drop: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Plan:
    """The shards of a run, and the counts of what it leaves alone.

    Attributes:
        shards: In order of work.
        n_unchanged: Stored images that stay as they are.
        n_removed: Stored images that the source no longer has.
        known_failures: Failures of earlier runs that still hold, a table of `FAILURES`.
    """

    shards: tuple[Shard, ...]
    n_unchanged: int
    n_removed: int
    known_failures: pa.Table

    @property
    def n_pending(self) -> int:
        """Count the images to embed."""
        return sum(len(shard.rows) for shard in self.shards)


def make_plan(
    listing: Listing,
    *,
    stored: pa.Table,
    failed: pa.Table,
    shard_size: int,
    retry_failures: bool = False,
    limit: int | None = None,
) -> Plan:
    """Compare a listing with what is stored and freeze what is pending into shards.

    Args:
        listing: What the source has now.
        stored: `id, size_bytes, mtime_ns, part` of every stored row; `part` is the number of its part.
        failed: The failures of earlier runs; those without size or time are forgotten, as nothing tells them apart.
        shard_size: Images in a new part, >= 1.
        retry_failures: Embed the earlier failures, and nothing else.
        limit: Embed at most so many images.

    Returns:
        Shards that rewrite parts with changed or removed rows, then shards of new images.
    """
    images = listing.images
    at = pc.index_in(images["id"], stored["id"])  # null where the image is not stored
    failed = failed.filter(pc.and_(failed["size"].is_valid(), failed["mtime"].is_valid()))
    earlier = failed.select(["id", "size", "mtime"]).rename_columns(["id", "size_bytes", "mtime_ns"])
    is_same = _is_same(images, stored, at)
    has_failed = _is_same(images, earlier, pc.index_in(images["id"], earlier["id"]))
    pending = has_failed if retry_failures else ~(is_same | has_failed)
    rows = np.flatnonzero(pending)[:limit]
    is_new = _mask(at.is_null())[rows]
    # A stored image that has changed and failed since is gone too: a kill may have left its old row behind.
    lasting = images["id"].filter(pa.array(is_same | ~has_failed))
    gone = _mask(pc.invert(pc.is_in(stored["id"], lasting))) & (not retry_failures)
    return Plan(
        shards=(
            *_rewrites(rows[~is_new], stored, at=at, gone=gone),
            *_additions(rows[is_new], first_part=_next_part(stored), shard_size=shard_size),
        ),
        n_unchanged=int(is_same.sum()),
        n_removed=int(gone.sum()),
        known_failures=_still_failed(images, failed, has_failed=has_failed, pending=rows),
    )


def _mask(values: pa.ChunkedArray) -> Mask:
    return pc.fill_null(values, fill_value=False).to_numpy()  # type: ignore[no-any-return]


def _is_same(images: pa.Table, known: pa.Table, at: pa.ChunkedArray) -> Mask:
    """Mark the images whose size and time are those of the known row that `at` points to."""
    size, time = (_mask(pc.equal(images[name], known[name].take(at))) for name in ("size_bytes", "mtime_ns"))
    return size & time


def _rewrites(changed: Rows, stored: pa.Table, *, at: pa.ChunkedArray, gone: Mask) -> Iterator[Shard]:
    places = at.take(changed).to_numpy().astype(np.int64)  # stored rows of the changed images
    parts = stored["part"].to_numpy()
    leaving = gone.copy()
    leaving[places] = True
    for part in np.unique(parts[leaving]):
        drop = stored["id"].take(np.flatnonzero(leaving & (parts == part))).to_pylist()
        yield Shard(int(part), changed[parts[places] == part], frozenset(drop))


def _additions(rows: Rows, *, first_part: int, shard_size: int) -> Iterator[Shard]:
    for number, start in enumerate(range(0, len(rows), shard_size)):
        yield Shard(first_part + number, rows[start : start + shard_size])


def _next_part(stored: pa.Table) -> int:
    return 0 if len(stored) == 0 else int(pc.max(stored["part"]).as_py()) + 1


def _still_failed(images: pa.Table, failed: pa.Table, *, has_failed: Mask, pending: Rows) -> pa.Table:
    still = has_failed.copy()
    still[pending] = False
    ids = images["id"].take(np.flatnonzero(still)).combine_chunks()
    return failed.filter(pc.is_in(failed["id"], ids))

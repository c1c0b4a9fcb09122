"""The plan of a run: what is pending, split into shards. A shard is the unit of work and becomes one part."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from frieze.core import Rows
from frieze.features.diff import Comparison, Mask
from frieze.features.schema import PART


@dataclasses.dataclass(frozen=True)
class Shard:
    """The unit of work: one part to write.

    Attributes:
        part: Number of the part.
        rows: int64, the listing's rows to embed into it; may be empty.
        drop: Ids that leave the part because they were removed or are embedded again.
        copies: int64, the listing's rows whose embedding is already stored; these need no backbone.
        source_rows: int64, the stored row that has the embedding of each copy.
    """

    part: int
    rows: Rows
    drop: frozenset[str] = frozenset()
    copies: Rows = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    source_rows: Rows = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The shards of a run, and counts of what it leaves unchanged.

    Attributes:
        shards: In order of work: first new parts, which may copy from old ones, then the old parts to rewrite.
        n_unchanged: Images that keep id and embedding, whatever else has changed.
        n_renamed: Images whose bytes were stored under an id that was removed.
        n_copied: Further images with the bytes of a renamed one.
        removed: int64, the stored rows whose images the source no longer has under any name.
        n_relabelled: Unchanged images that get another label.
        n_left: New or changed images that are left to another run.
        known_failures: Failures of earlier runs that still hold, a table of `FAILURES`.
    """

    shards: tuple[Shard, ...]
    n_unchanged: int
    n_renamed: int
    n_copied: int
    removed: Rows
    n_left: int
    n_relabelled: int
    known_failures: pa.Table

    @property
    def n_removed(self) -> int:
        """The number of stored rows to remove."""
        return len(self.removed)

    @functools.cached_property
    def n_pending(self) -> int:
        """The number of images to embed; cached, because it is read after every shard."""
        return sum(len(shard.rows) for shard in self.shards)


def make_plan(
    comparison: Comparison,
    source_rows: Rows,
    *,
    shard_size: int,
    retry_failures: bool = False,
    limit: int | None = None,
) -> Plan:
    """Split what is pending into shards.

    Args:
        comparison: The listing compared with the table.
        source_rows: int64 [N], the stored row with the bytes of each listed image: its own row where only the
            time changed, that of a removed image where it was renamed, -1 where there is none.
        shard_size: Images in a new part, >= 1.
        retry_failures: Embed the earlier failures, changed or not, and nothing else.
        limit: The maximum number of images to embed.
    """
    if retry_failures:
        source_rows = np.full_like(source_rows, -1)
    changed = (source_rows < 0) & ~(comparison.is_same | comparison.has_failed)
    is_unchanged = (source_rows == comparison.stored_rows) & comparison.is_current  # equal bytes
    source_rows = np.where(is_unchanged, -1, source_rows)
    is_written = (source_rows >= 0) | _first(comparison.is_among_failed if retry_failures else changed, limit)
    still_failed = comparison.is_among_failed if retry_failures else comparison.has_failed
    splitter = _Splitter(comparison, np.where(is_written, source_rows, -1))
    removed = comparison.removed & (not retry_failures)
    moved = source_rows[is_written & ~comparison.is_stored & (source_rows >= 0)]
    renamed = np.unique(moved)
    return Plan(
        shards=(
            *splitter.additions(np.flatnonzero(is_written & ~comparison.is_stored), shard_size),
            *splitter.rewrites(np.flatnonzero(is_written & comparison.is_stored), removed),
        ),
        n_unchanged=int((comparison.is_same | is_unchanged | (comparison.is_stored & (source_rows >= 0))).sum()),
        n_renamed=len(renamed),
        n_copied=len(moved) - len(renamed),
        removed=np.setdiff1d(np.flatnonzero(removed), renamed),
        n_left=int((changed & ~is_written).sum()),
        n_relabelled=int((comparison.is_relabelled & (source_rows == comparison.stored_rows)).sum()),
        known_failures=comparison.failures_of(still_failed & ~is_written),
    )


def _first(mask: Mask, limit: int | None) -> Mask:
    taken = np.zeros_like(mask)
    taken[np.flatnonzero(mask)[:limit]] = True
    return taken


@dataclasses.dataclass(frozen=True)
class _Splitter:
    """Splits rows of the listing into shards."""

    comparison: Comparison
    source_rows: Rows

    def additions(self, rows: Rows, shard_size: int) -> Iterator[Shard]:
        first = self.comparison.next_part
        for number, start in enumerate(range(0, len(rows), shard_size)):
            yield self._shard(first + number, rows[start : start + shard_size])

    def rewrites(self, rows: Rows, removed: Mask) -> Iterator[Shard]:
        """Yield a shard for each part that holds some of the rows or loses some."""
        stored, stored_rows = self.comparison.stored, self.comparison.stored_rows[rows]
        parts = stored[PART].to_numpy()
        is_dropped = removed.copy()
        is_dropped[stored_rows] = True
        for part in np.unique(parts[is_dropped]):
            drop = stored["id"].take(np.flatnonzero(is_dropped & (parts == part))).to_pylist()
            yield self._shard(int(part), rows[parts[stored_rows] == part], frozenset(drop))

    def _shard(self, part: int, rows: Rows, drop: frozenset[str] = frozenset()) -> Shard:
        is_copy = self.source_rows[rows] >= 0
        copies = rows[is_copy]
        return Shard(part, rows[~is_copy], drop, copies, self.source_rows[copies])

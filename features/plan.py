"""What a run has to do, cut into shards: the unit of work, and one part of the table each."""

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
    """The unit of work: one part to be written.

    Attributes:
        part: Number of the part.
        rows: int64, the listing's rows to embed into it; may be empty.
        drop: Ids that leave the part, because they are gone or come anew.
        copies: int64, the listing's rows whose embedding is stored already; these need no backbone.
        origins: int64, for each copy the stored row that has its embedding.
    """

    part: int
    rows: Rows
    drop: frozenset[str] = frozenset()
    copies: Rows = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    origins: Rows = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The shards of a run, and the counts of what it leaves alone.

    Attributes:
        shards: In order of work: new parts first, for they copy from old ones, which are rewritten next.
        n_unchanged: Images that keep their embedding under their id, whatever else of them has changed.
        n_renamed: Images whose bytes were stored under an id that is gone.
        removed: int64, the stored rows whose images the source no longer has under any name.
        n_relabelled: Of the unchanged those that get another label.
        n_left: Images that are new or changed, and wait for another run.
        known_failures: Failures of earlier runs that still hold, a table of `FAILURES`.
    """

    shards: tuple[Shard, ...]
    n_unchanged: int
    n_renamed: int
    removed: Rows
    n_left: int
    n_relabelled: int
    known_failures: pa.Table

    @property
    def n_removed(self) -> int:
        """How many stored rows go."""
        return len(self.removed)

    @functools.cached_property
    def n_pending(self) -> int:
        """Count the images to embed; once, for it is asked for after every shard."""
        return sum(len(shard.rows) for shard in self.shards)


def make_plan(
    comparison: Comparison,
    origins: Rows,
    *,
    shard_size: int,
    retry_failures: bool = False,
    limit: int | None = None,
) -> Plan:
    """Freeze what is pending into shards.

    Args:
        comparison: A listing held against a table.
        origins: int64 [N], for each listed image the stored row with its bytes: its own, where it has changed in
            nothing that matters, or that of a vanished image; -1 where there is none.
        shard_size: Images in a new part, >= 1.
        retry_failures: Embed the earlier failures, whether they have changed since or not, and nothing else.
        limit: Embed at most so many images.
    """
    if retry_failures:
        origins = np.full_like(origins, -1)
    changed = (origins < 0) & ~(comparison.is_same | comparison.has_failed)
    stays = (origins == comparison.places) & comparison.is_current  # its bytes were looked at, and nothing is new
    origins = np.where(stays, -1, origins)
    comes = (origins >= 0) | _first(comparison.is_among_failed if retry_failures else changed, limit)
    still_failed = comparison.is_among_failed if retry_failures else comparison.has_failed
    cutter = _Cutter(comparison, np.where(comes, origins, -1))
    gone = comparison.gone & (not retry_failures)
    renamed = np.unique(origins[comes & ~comparison.is_stored])
    renamed = renamed[renamed >= 0]
    return Plan(
        shards=(
            *cutter.additions(np.flatnonzero(comes & ~comparison.is_stored), shard_size),
            *cutter.rewrites(np.flatnonzero(comes & comparison.is_stored), gone),
        ),
        n_unchanged=int((comparison.is_same | stays | (comparison.is_stored & (origins >= 0))).sum()),
        n_renamed=len(renamed),
        removed=np.setdiff1d(np.flatnonzero(gone), renamed),
        n_left=int((changed & ~comes).sum()),
        n_relabelled=int((comparison.is_relabelled & (origins == comparison.places)).sum()),
        known_failures=comparison.failures_of(still_failed & ~comes),
    )


def _first(mask: Mask, limit: int | None) -> Mask:
    taken = np.zeros_like(mask)
    taken[np.flatnonzero(mask)[:limit]] = True
    return taken


@dataclasses.dataclass(frozen=True)
class _Cutter:
    """Cuts rows of the listing into shards."""

    comparison: Comparison
    origins: Rows

    def additions(self, rows: Rows, shard_size: int) -> Iterator[Shard]:
        first = self.comparison.next_part
        for number, start in enumerate(range(0, len(rows), shard_size)):
            yield self._shard(first + number, rows[start : start + shard_size])

    def rewrites(self, rows: Rows, gone: Mask) -> Iterator[Shard]:
        """Cut by the parts that hold the rows or lose some; those with images to embed first."""
        stored, places = self.comparison.stored, self.comparison.places[rows]
        parts = stored[PART].to_numpy()
        leaving = gone.copy()
        leaving[places] = True
        for part in np.unique(parts[leaving]):
            drop = stored["id"].take(np.flatnonzero(leaving & (parts == part))).to_pylist()
            yield self._shard(int(part), rows[parts[places] == part], frozenset(drop))

    def _shard(self, part: int, rows: Rows, drop: frozenset[str] = frozenset()) -> Shard:
        is_copy = self.origins[rows] >= 0
        copies = rows[is_copy]
        return Shard(part, rows[~is_copy], drop, copies, self.origins[copies])

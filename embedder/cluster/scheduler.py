"""Schedule slices of shards on workers: copy stragglers, retry after crashes, bisect shards down to poison images.

No slice is lost and none counts twice: the first worker that finishes it wins.
"""

import collections
import dataclasses
import itertools
import time
from collections.abc import Hashable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from frieze.core import Rows

_DEPTH = 2
"""Slices queued at a worker: the next one is there when one is done."""
_DEATHS_TO_SPLIT = 2
"""How often a shard may kill its worker before it is split; a split slice is split again after each death."""
_DEATHS_TO_FAIL = 3
"""How often a single image must kill its worker to count as poison: machines go down for other reasons, too."""
_AVOID_S = 60.0
"""How long a slice waits for other workers than those that could not read it."""


@dataclasses.dataclass(eq=False)
class ShardSlice:
    """A shard, or a slice of one.

    Attributes:
        shard: Its number in the plan.
        rows: int64 [n], the listing's rows, n >= 1.
        deaths: How often it killed its worker.
        holders: The workers that have it.
        avoided: The workers whose machine could not read it; others come first.
        created_at: On `time.monotonic`'s clock.
    """

    shard: int
    rows: Rows
    deaths: int = 0
    holders: set[Hashable] = dataclasses.field(default_factory=set)
    avoided: AbstractSet[Hashable] = frozenset()
    created_at: float = dataclasses.field(default_factory=time.monotonic)

    def is_for(self, worker: Hashable) -> bool:
        """Check whether a worker may take it; an avoided one may after a while, for the others may have died."""
        return worker not in self.avoided or time.monotonic() - self.created_at > _AVOID_S


class Scheduler:
    """The slices of a run that are queued, in flight, or done.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
    """

    def __init__(self, shards: Sequence[Rows]) -> None:
        self._queue = collections.deque(itertools.starmap(ShardSlice, enumerate(shards)))
        self._in_flight: dict[ShardSlice, None] = {}  # in the order in which they started
        self._assigned: dict[Hashable, list[ShardSlice]] = collections.defaultdict(list)
        self._n_open = collections.Counter(range(len(shards)))

    def __bool__(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._queue or self._in_flight)

    def take(self, worker: Hashable) -> Iterator[ShardSlice]:
        """Assign slices to a worker that has room; an idle one copies the oldest straggler when the queue is empty.

        A slice that killed two workers is not copied: it would kill one idle worker after another.
        """
        while len(self._assigned[worker]) < _DEPTH:
            queued = next((one for one in self._queue if one.is_for(worker)), None)
            if queued is None:
                break
            self._queue.remove(queued)
            yield self._assign(queued, worker)
        if not self._assigned[worker]:
            stragglers = (one for one in self._in_flight if len(one.holders) == 1 and one.deaths < _DEATHS_TO_SPLIT)
            straggler = next((one for one in stragglers if one.is_for(worker)), None)
            if straggler is not None:
                yield self._assign(straggler, worker)

    def add(self, shard_slice: ShardSlice) -> None:
        """Queue a further slice of a shard, before all others."""
        self._n_open[shard_slice.shard] += 1
        self._queue.appendleft(shard_slice)

    def _assign(self, shard_slice: ShardSlice, worker: Hashable) -> ShardSlice:
        shard_slice.holders.add(worker)
        self._assigned[worker].append(shard_slice)
        self._in_flight[shard_slice] = None
        return shard_slice

    def finish(self, worker: Hashable, shard_slice: ShardSlice) -> bool:
        """Note that a worker finished a slice; return whether it was the first to do so."""
        if shard_slice in self._assigned[worker]:
            self._assigned[worker].remove(shard_slice)
        is_first = shard_slice in self._in_flight
        self._in_flight.pop(shard_slice, None)
        self._n_open[shard_slice.shard] -= is_first
        return is_first

    def is_complete(self, shard: int) -> bool:
        """Check whether all slices of a shard are done."""
        return self._n_open[shard] == 0

    def on_worker_death(self, worker: Hashable) -> ShardSlice | None:
        """Queue the slices of a dead worker again; split the one that may have killed it.

        Returns:
            The slice that killed it, if it is a single poison image that did so repeatedly: it is not assigned again.
        """
        assigned = self._assigned.pop(worker, [])
        for one in assigned:
            one.holders.discard(worker)
        for one in assigned[:1]:  # the one it was working on
            one.deaths += 1
        returned = [one for one in assigned if one in self._in_flight and not one.holders]
        poison = None
        if returned and returned[0].deaths >= (_DEATHS_TO_SPLIT if len(returned[0].rows) > 1 else _DEATHS_TO_FAIL):
            suspect = returned.pop(0)
            if len(suspect.rows) > 1:
                returned[:0] = self._split(suspect)
            else:
                poison = suspect
                self.finish(worker, suspect)
        for one in reversed(returned):
            self._in_flight.pop(one, None)
            self._queue.appendleft(one)
        return poison

    def _split(self, suspect: ShardSlice) -> list[ShardSlice]:
        self._in_flight.pop(suspect)
        self._n_open[suspect.shard] += 1
        return [
            ShardSlice(suspect.shard, rows, suspect.deaths - 1 if len(rows) > 1 else 0, avoided=suspect.avoided)
            for rows in np.array_split(suspect.rows, 2)
        ]

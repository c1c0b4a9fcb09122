"""Which worker is given what: nothing lost, nothing twice, the slow overtaken, the deadly taken apart."""

import collections
import dataclasses
import itertools
import time
from collections.abc import Hashable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from frieze.core import Rows

_DEPTH = 2
"""Pieces that a worker is handed at once: the next one lies there when one is done."""
_DEADLY = 2
"""How often a shard may kill its worker before it is taken apart; of what was taken apart, every death counts."""
_SURELY = 3
"""How often an image alone must do so: machines go down for other reasons, too."""
_SHUN_S = 60.0
"""How long a piece waits for others than those who could not read it."""


@dataclasses.dataclass(eq=False)
class Piece:
    """A shard, or a part of one.

    Attributes:
        shard: Its number in the plan.
        rows: int64 [n], the listing's rows, n >= 1.
        deaths: How often it killed its worker.
        holders: The workers that have it.
        shunned: The workers whose machine could not read it, and which others go before.
        made: When it was made, on `time.monotonic`'s clock.
    """

    shard: int
    rows: Rows
    deaths: int = 0
    holders: set[Hashable] = dataclasses.field(default_factory=set)
    shunned: AbstractSet[Hashable] = frozenset()
    made: float = dataclasses.field(default_factory=time.monotonic)

    def is_for(self, worker: Hashable) -> bool:
        """Tell whether a worker may take it: one that could not read it waits, for others may have died by then."""
        return worker not in self.shunned or time.monotonic() - self.made > _SHUN_S


class Schedule:
    """The pieces of a run that wait, are under way, or are done.

    Args:
        shards: For each shard the listing's rows, int64 [n], n >= 1.
    """

    def __init__(self, shards: Sequence[Rows]) -> None:
        self._waiting = collections.deque(itertools.starmap(Piece, enumerate(shards)))
        self._flying: dict[Piece, None] = {}  # in the order in which they were begun
        self._held: dict[Hashable, list[Piece]] = collections.defaultdict(list)
        self._open = collections.Counter(range(len(shards)))

    def __bool__(self) -> bool:
        """Tell whether anything is left to do."""
        return bool(self._waiting or self._flying)

    def take(self, worker: Hashable) -> Iterator[Piece]:
        """Hand a worker what it has room for; where nothing waits, what another one has had longest.

        What killed two workers is not overtaken: it would go round the idle for ever, and never come back to nobody.
        """
        while len(self._held[worker]) < _DEPTH:
            piece = next((piece for piece in self._waiting if piece.is_for(worker)), None)
            if piece is None:
                break
            self._waiting.remove(piece)
            yield self._hand(piece, worker)
        if not self._held[worker]:
            late = (piece for piece in self._flying if len(piece.holders) == 1 and piece.deaths < _DEADLY)
            piece = next((piece for piece in late if piece.is_for(worker)), None)
            if piece is not None:
                yield self._hand(piece, worker)

    def add(self, piece: Piece) -> None:
        """Take a further piece of a shard, to be done before those that wait."""
        self._open[piece.shard] += 1
        self._waiting.appendleft(piece)

    def _hand(self, piece: Piece, worker: Hashable) -> Piece:
        piece.holders.add(worker)
        self._held[worker].append(piece)
        self._flying[piece] = None
        return piece

    def end(self, worker: Hashable, piece: Piece) -> bool:
        """Note that a worker is done with a piece; tell whether it was the first."""
        if piece in self._held[worker]:
            self._held[worker].remove(piece)
        is_first = piece in self._flying
        self._flying.pop(piece, None)
        self._open[piece.shard] -= is_first
        return is_first

    def is_whole(self, shard: int) -> bool:
        """Tell whether all pieces of a shard are done."""
        return self._open[shard] == 0

    def lose(self, worker: Hashable) -> Piece | None:
        """Take back what a dead worker had.

        Returns:
            The piece that killed it, where it has one image and does so again and again: nobody is given it any more.
        """
        held = self._held.pop(worker, [])
        for piece in held:
            piece.holders.discard(worker)
        for piece in held[:1]:  # it was at the first one
            piece.deaths += 1
        back = [piece for piece in held if piece in self._flying and not piece.holders]
        poison = None
        if back and back[0].deaths >= (_DEADLY if len(back[0].rows) > 1 else _SURELY):
            suspect = back.pop(0)
            if len(suspect.rows) > 1:
                back[:0] = self._halves(suspect)
            else:
                poison = suspect
                self.end(worker, suspect)
        for piece in reversed(back):
            self._flying.pop(piece, None)
            self._waiting.appendleft(piece)
        return poison

    def _halves(self, piece: Piece) -> list[Piece]:
        self._flying.pop(piece)
        self._open[piece.shard] += 1
        halves = np.array_split(piece.rows, 2)
        return [
            Piece(piece.shard, rows, piece.deaths - 1 if len(rows) > 1 else 0, shunned=piece.shunned) for rows in halves
        ]

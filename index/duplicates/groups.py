"""Groups of copies around a keeper: each copy was confirmed against the keeper itself."""

import collections
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from frieze.core import Rows
from frieze.indexing.duplicates.compare import Match

_BLOCK = 4096  # pairs whose rows are compared in turn: of hardly more images than are kept in memory
_N_STREAMS = 4  # parts of the pairs that go on side by side: processes that are far apart share few images

Compare = Callable[[Rows, npt.NDArray[np.bool_]], list[Match | None]]
"""Pairs int64 [n, 2], and where to be thorough bool [n] -> how they match."""

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Group:
    """Images that show one picture.

    Attributes:
        keeper: Row of the one to keep.
        copies: Of each other row, how it matches the keeper (the first of the match).
    """

    keeper: int
    copies: dict[int, Match]


def group_copies(
    pairs: Rows, by_features: npt.NDArray[np.bool_], ranks: Rows, compare: Compare, progress: Progress
) -> list[Group]:
    """Compare candidate pairs and group the copies around the best of each group.

    Args:
        pairs: int64 [n, 2], smaller row first, ascending.
        by_features: bool [n]: which to compare thoroughly.
        ranks: int64 [N]: order in which rows are preferred as keepers; an original comes before what was made of it,
            unless its rank is negative.
        compare: Compares pairs.
        progress: Called with the number of candidates done and in all.

    Returns:
        Groups of two and more; each row is in one at most.
    """
    matches = _Matches(compare)
    pending = _compare_candidates(pairs, by_features, matches, progress).groups()
    groups: list[Group] = []
    while pending:
        keepers = _choose_keepers(pending, matches, ranks)
        for rows, keeper in zip(pending, keepers, strict=True):
            copies = {row: match for row in rows if row != keeper and (match := matches.get(keeper, row)) is not None}
            if copies:
                groups.append(Group(keeper, copies))
            rows[:] = [row for row in rows if row != keeper and row not in copies]
        pending = [rows for rows in pending if len(rows) > 1]
    return groups


class _Matches:
    """What is known of pairs; the smaller row is the first of a stored match.

    Of a pair that local features may still confirm nothing is known.
    """

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._known: dict[tuple[int, int], Match | None] = {}
        self._balance: collections.Counter[int] = collections.Counter()
        self._sources: collections.defaultdict[int, set[int]] = collections.defaultdict(set)

    def compare(self, pairs: list[tuple[int, int]], by_features: npt.NDArray[np.bool_]) -> None:
        """Compare pairs, smaller row first."""
        results = self._compare(np.array(pairs, np.int64).reshape(-1, 2), by_features) if pairs else []
        for pair, thorough, match in zip(pairs, by_features.tolist(), results, strict=True):
            if match is not None or thorough:
                self._known[pair] = match
            if match is not None and (side := match.derived()) is not None:
                self._balance[pair[side]] += 1
                self._balance[pair[1 - side]] -= 1
                if match.is_whole:
                    self._sources[pair[side]].add(pair[1 - side])

    def is_derived(self, row: int) -> bool:
        """Tell whether a row looks as if it was made of others (a crop, framed, grey).

        It does so more often than they do of it; or it lost the colours or lights of one that is as good.
        """
        balance = self._balance[row]
        return balance > 0 or any(self._balance[other] <= balance for other in self._sources[row])

    def get(self, row: int, other: int) -> Match | None:
        """Return how another row matches a row."""
        match = self._known.get((min(row, other), max(row, other)))
        return match.swapped() if match and other < row else match

    def unknown(self, row: int, others: list[int]) -> list[tuple[int, int]]:
        """Return the pairs of a row with others of which a thorough comparison is due, smaller row first."""
        pairs = [(min(row, other), max(row, other)) for other in others if other != row]
        return [pair for pair in pairs if pair not in self._known]


class _Chains:
    """Rows that are connected by confirmed pairs (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def join(self, row: int, other: int) -> None:
        """Join two rows."""
        self._parents[self._first(row)] = self._first(other)

    def are_joined(self, row: int, other: int) -> bool:
        """Return whether a chain of pairs connects two rows."""
        return self._first(row) == self._first(other)

    def groups(self) -> list[list[int]]:
        """Return the rows of each chain of two and more, ascending."""
        groups: dict[int, list[int]] = {}
        for row in sorted(self._parents):
            groups.setdefault(self._first(row), []).append(row)
        return [rows for rows in groups.values() if len(rows) > 1]

    def _first(self, row: int) -> int:
        while (parent := self._parents.setdefault(row, row)) != row:
            self._parents[row] = self._parents[parent]
            row = parent
        return row


def _compare_candidates(
    pairs: Rows, by_features: npt.NDArray[np.bool_], matches: _Matches, progress: Progress
) -> _Chains:
    """Compare the candidates but for pairs of rows that a chain connects already; return the chains."""
    chains = _Chains()
    n_done = 0
    for places in _blocks(len(pairs)):
        progress(n_done, len(pairs))
        n_done += len(places)
        block, thorough = pairs[places], by_features[places]
        turns = _turns(block[:, 0])
        for turn in range(int(turns.max()) + 1):
            at = [i for i in np.flatnonzero(turns == turn).tolist() if not chains.are_joined(*block[i].tolist())]
            chosen = [(row, other) for row, other in block[at].tolist()]
            matches.compare(chosen, thorough[at])
            for pair in chosen:
                if matches.get(*pair) is not None:
                    chains.join(*pair)
    progress(len(pairs), len(pairs))
    return chains


def _blocks(n_pairs: int) -> Iterator[Rows]:
    """Yield the places of pairs, ascending: each time a piece of each of several streams."""
    streams = np.array_split(np.arange(n_pairs), _N_STREAMS)
    size = max(1, _BLOCK // _N_STREAMS)
    for start in range(0, len(streams[0]), size):
        yield np.concatenate([stream[start : start + size] for stream in streams])


def _turns(rows: Rows) -> Rows:
    """Number the turns in which the pairs of each row are compared, with 1, 3, 12, 48 and so on; rows ascending.

    >>> _turns(np.array([4, 4, 4, 4, 4, 7, 9, 9])).tolist()
    [0, 1, 1, 1, 2, 0, 0, 1]
    """
    _, starts, number = np.unique(rows, return_index=True, return_inverse=True)
    turns: Rows = (np.frexp(np.arange(len(rows)) - starts[number])[1] + 1) // 2
    return turns


def _choose_keepers(chains: list[list[int]], matches: _Matches, ranks: Rows) -> list[int]:
    """Return the best row of each chain, compared with all others of it: that may show that it was made of another."""
    while True:
        keepers = [min(rows, key=lambda row: _preference(row, ranks, matches)) for rows in chains]
        unknown = [pair for rows, row in zip(chains, keepers, strict=True) for pair in matches.unknown(row, rows)]
        if not unknown:
            return keepers
        matches.compare(unknown, np.ones(len(unknown), bool))


def _preference(row: int, ranks: Rows, matches: _Matches) -> tuple[bool, bool, int]:
    rank = int(ranks[row])
    return rank >= 0, matches.is_derived(row), rank

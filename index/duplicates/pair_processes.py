"""Processes that decide on pairs: threads wait for each other at Python's lock, as each call takes microseconds."""

import collections
import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import NamedTuple

from frieze.core import HelperProcess, count_cores
from frieze.indexing.duplicates.compare import Match
from frieze.indexing.duplicates.decide import Decider, Pair, ReadPicture, one_library_thread, use_one_faiss_thread

_MAX_PROCESSES = 8
_N_PICTURES = 4_000  # kept in memory by all of them: some 400 MB
_N_AHEAD = 2  # portions that a process has in hand, so that it never waits for the next
_MAX_PORTION, _SHARE_LEFT = 32, 4  # pairs, and one part in so many of what is left: none waits long for another

OpenReader = Callable[[], contextlib.AbstractContextManager[ReadPicture]]
"""A function of a module, which each process calls."""


class ProcessDiedError(Exception):
    """A process ended while it compared pairs, or could not be started."""


class _Task(NamedTuple):
    """What a process is told once."""

    open_reader: OpenReader
    n_pictures: int


class PairProcesses:
    """Decides on pairs in processes, which are started with the first pairs; close it.

    Args:
        open_reader: Gives a function that reads images in small.
        n_processes: How many; by default one for each core, eight at most. One alone is not started.
    """

    def __init__(self, open_reader: OpenReader, n_processes: int | None = None) -> None:
        self._n_processes = min(count_cores(), _MAX_PROCESSES) if n_processes is None else n_processes
        self._task = _Task(open_reader, _N_PICTURES // self._n_processes)
        self._processes: list[HelperProcess] = []

    def decide(self, pairs: list[Pair]) -> tuple[list[Match | None], set[int]]:
        """Return how each pair matches, and the rows that could not be read.

        Raises:
            ProcessDiedError: A process ended, or none can be had; then all are closed.
        """
        try:
            return self._decide(pairs)
        except (EOFError, OSError) as error:
            self.close()
            raise ProcessDiedError from error

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process in self._processes:
            process.close()
        self._processes = []

    def _decide(self, pairs: list[Pair]) -> tuple[list[Match | None], set[int]]:
        if not self._processes:
            self._start()
        connections = [process.connection for process in self._processes]
        shares = share_out(len(pairs), len(connections))
        in_hand: list[collections.deque[slice]] = [collections.deque() for _ in connections]

        def send(at: int) -> None:
            if (portion := take(shares, at)) is not None:
                in_hand[at].append(portion)
                connections[at].send(pairs[portion])

        for at in [*range(len(connections))] * _N_AHEAD:
            send(at)
        matches: list[Match | None] = [None] * len(pairs)
        unreadable: set[int] = set()
        while any(in_hand):
            for ready in wait([one for one, portions in zip(connections, in_hand, strict=True) if portions]):
                at = next(at for at, connection in enumerate(connections) if connection is ready)
                matches[in_hand[at].popleft()], rows = connections[at].recv()
                unreadable |= rows
                send(at)
        return matches, unreadable

    def _start(self) -> None:
        if self._n_processes == 1 or os.name != "posix":
            raise OSError("one process gains nothing, and Windows hands over no open files")
        for _ in range(self._n_processes):
            self._processes.append(HelperProcess(decide_for_other))
        for process in self._processes:
            process.connection.send(self._task)


def share_out(n_pairs: int, n_shares: int) -> list[collections.deque[slice]]:
    """Cut pairs into a run for each process, and each run into portions: pairs that follow each other share pictures.

    >>> [[(part.start, part.stop) for part in share] for share in share_out(5, 2)]
    [[(0, 1), (1, 2)], [(2, 3), (3, 4), (4, 5)]]
    """
    bounds = [n_pairs * at // n_shares for at in range(n_shares + 1)]
    return [collections.deque(_cut(begin, end)) for begin, end in itertools.pairwise(bounds)]


def _cut(begin: int, end: int) -> Iterator[slice]:
    """Yield portions of a run, which become smaller towards its end."""
    while begin < end:
        size = min(_MAX_PORTION, math.ceil((end - begin) / _SHARE_LEFT))
        yield slice(begin, begin + size)
        begin += size


def take(shares: list[collections.deque[slice]], at: int) -> slice | None:
    """Take the next portion of one of the shares, or else the last of the fullest; None where all are empty.

    >>> left = share_out(3, 2)
    >>> [take(left, 0).start for _ in range(3)]
    [0, 2, 1]
    """
    if shares[at]:
        return shares[at].popleft()
    fullest = max(shares, key=len)
    return fullest.pop() if fullest else None


def decide_for_other() -> None:
    """Decide on pairs until the other process closes the connection."""
    connection, _ = HelperProcess.other_end()
    try:
        task: _Task = connection.recv()
        use_one_faiss_thread()
        with task.open_reader() as read, one_library_thread():
            decider = Decider(read, task.n_pictures)
            while True:
                pairs = connection.recv()
                matches = [decider.decide(pair) for pair in pairs]
                rows = {image.row for pair in pairs for image in (pair.first, pair.second)}
                connection.send((matches, rows & decider.unreadable))
    except (EOFError, OSError):
        os._exit(0)

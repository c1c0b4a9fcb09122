"""Processes that decide on pairs: threads wait for each other at Python's lock, as each call takes microseconds."""

import contextlib
import itertools
import math
import os
from collections.abc import Callable
from typing import NamedTuple

from frieze.core import HelperProcess, count_cores
from frieze.indexing.duplicates.compare import Match
from frieze.indexing.duplicates.decide import Decider, Pair, ReadPicture, one_library_thread, use_one_faiss_thread

_MAX_PROCESSES = 8
_N_PICTURES = 2_000  # kept in memory by all of them: some 400 MB

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
        shares = share_out([pair.first.row for pair in pairs], len(self._processes))
        busy = [(process.connection, share) for process, share in zip(self._processes, shares, strict=True) if share]
        for connection, share in busy:
            connection.send([pairs[at] for at in share])
        matches: list[Match | None] = [None] * len(pairs)
        unreadable: set[int] = set()
        for connection, share in busy:
            decided, rows = connection.recv()
            unreadable |= rows
            for at, match in zip(share, decided, strict=True):
                matches[at] = match
        return matches, unreadable

    def _start(self) -> None:
        if self._n_processes == 1 or os.name != "posix":
            raise OSError("one process gains nothing, and Windows hands over no open files")
        for _ in range(self._n_processes):
            self._processes.append(HelperProcess(decide_for_other))
        for process in self._processes:
            process.connection.send(self._task)


def share_out(rows: list[int], n_shares: int) -> list[list[int]]:
    """Share out the places of rows: those of a row together and, but for a few, always to the same share.

    >>> share_out([4, 4, 4, 5, 6, 6], 2)
    [[0, 1, 2], [3, 4, 5]]
    """
    shares: list[list[int]] = [[] for _ in range(n_shares)]
    most = math.ceil(len(rows) / n_shares)
    for row, group in itertools.groupby(range(len(rows)), key=rows.__getitem__):
        usual = shares[row % n_shares]
        (usual if len(usual) < most else min(shares, key=len)).extend(group)
    return shares


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
                connection.send(([decider.decide(pair) for pair in pairs], decider.unreadable))
    except (EOFError, OSError):
        os._exit(0)

"""A run whose shards are embedded by a cluster: this process plans, commits and keeps the table."""

import dataclasses
import itertools
import logging
import time
from typing import Any, Protocol

import numpy as np

from frieze.core import OUT_OF_MEMORY, InputError, Rows, connect_to_ray, evenly_spaced
from frieze.embedder.cluster.results import ResultCollector
from frieze.embedder.cluster.scheduler import Piece, Schedule
from frieze.embedder.cluster.worker import Outcome, Work
from frieze.embedder.cluster.worker_pool import Answer, WorkerHandle, WorkerPool
from frieze.embedder.job.run import Run
from frieze.features import Failure, clear_staged_parts, staging_path

_LOG = logging.getLogger("frieze")
_LOOK_AROUND_S = 5.0
"""How often room for more workers is looked for."""
_SAMPLE = 4096
"""Rows on which an engine is tried at most."""
_MOST_FALSE_STARTS = 3
"""How many workers may die before one has begun, for each place that there is for one, while nothing is embedded."""
_PATIENCE_S = 10.0
"""How long nobody says that no worker could be started."""
_CHOICE_S = 20.0
"""How long a worker may take over its choice of an engine before another one is asked as well."""
_OF_THE_MACHINE = ("unreadable", "missing", OUT_OF_MEMORY)
"""Reasons of failures that may hold on one machine, and not on another."""
_DEADLY = "kills its worker"


class PoolProtocol(Protocol):
    """What a run wants of a crew."""

    lack: str | None

    def start_workers(self) -> list[WorkerHandle]:
        """Give new workers, wherever there is room."""

    def ask(self, member: WorkerHandle, question: str, *words: Any, about: Any) -> None:
        """Have a worker do something."""

    def answers(self, *, seconds: float) -> Any:
        """Wait for answers."""


def embed_on_cluster(run: Run, work: Work) -> None:
    """Have all shards of a run that want a backbone embedded by a cluster's workers.

    Raises:
        InputError: Something the user can mend; what is stored stays.
    """
    with connect_to_ray(str(work.options.ray)) as ray, WorkerPool(ray, work) as crew:
        ClusterRun(run, crew).embed()
    clear_staged_parts(run.writer.path)


class ClusterRun:
    """The shards of a run, given to workers, and committed as they come back.

    Args:
        run: The run.
        crew: The workers.
    """

    def __init__(self, run: Run, crew: PoolProtocol) -> None:
        self._run = run
        self._crew = crew
        self._shards = [shard for shard in run.plan.shards if len(shard.rows)]
        self._schedule = Schedule([shard.rows for shard in self._shards])
        self._gathering = ResultCollector(run, self._shards)
        rows = np.concatenate([shard.rows for shard in self._shards])
        self._sample: Rows = evenly_spaced(rows, _SAMPLE)
        self._attempts = itertools.count(time.time_ns())  # no name that a killed run's worker still writes to
        self._members: list[WorkerHandle] = []
        self._idle: list[
            WorkerHandle
        ] = []  # those of them who have loaded the backbone, and were not asked to choose yet
        self._choosers: set[WorkerHandle] = set()  # those who were asked before there was a choice, and think about it
        self._has_choice = False
        self._lonely_since = self._asked_last = time.perf_counter()
        self._is_told_of_lack = False
        self._n_false_starts = self._n_places = 0
        self._n_done = 0
        self._looked = -np.inf

    def embed(self) -> None:
        """Run until nothing is left; each shard that was committed stands, however it ends."""
        self._run.progress(0, self._run.plan.n_pending)
        try:
            while self._schedule:
                self._look_around()
                for answer in self._crew.answers(seconds=1.0):
                    self._take(answer)
                self._gathering.settle_in_time()
        finally:
            self._gathering.settle()
        self._run.done = time.perf_counter()

    def _look_around(self) -> None:
        """Hire where there is room; all but the first wait for its choice of an engine."""
        now = time.perf_counter()
        if now - self._looked > _LOOK_AROUND_S:
            self._looked = now
            self._hire()
            for member in self._members:  # what nobody would take for a while is taken by anybody after it
                self._hand_out(member)
        if not self._has_choice and self._idle and (not self._choosers or now - self._asked_last > _CHOICE_S):
            self._have_another_choose()
        while self._has_choice and self._idle:
            self._have_choose(self._idle.pop())

    def _hire(self) -> None:
        fresh = self._crew.start_workers()
        self._members += fresh
        self._n_places = max(self._n_places, len(self._members))
        for member in fresh:
            self._crew.ask(member, "greet", about="greet")
            self._crew.ask(member, "load", about="load")
        if any(member.host is not None for member in self._members):
            self._lonely_since, self._is_told_of_lack = self._looked, False
        elif self._crew.lack and not self._is_told_of_lack and self._looked - self._lonely_since >= _PATIENCE_S:
            self._is_told_of_lack = True
            self._say(f"Waiting for {self._crew.lack}.")

    def _say(self, note: str) -> None:
        _LOG.warning(note)
        self._run.cluster_notes.append(note)

    def _have_another_choose(self) -> None:
        slow = sorted({str(member.host) for member in self._choosers})
        member = self._idle.pop(0)
        if slow:
            after = f"after {_CHOICE_S:.0f} s {member.host} is asked, too"
            self._say(f"A worker on {', '.join(slow)} has not chosen an engine yet; {after}.")
        self._choosers.add(member)
        self._asked_last = time.perf_counter()
        self._have_choose(member)

    def _have_choose(self, member: WorkerHandle) -> None:
        manifest = dataclasses.replace(self._run.writer.manifest, parts=())
        self._crew.ask(member, "choose", self._sample, manifest, about="choose")

    def _hand_out(self, member: WorkerHandle) -> None:
        for piece in self._schedule.take(member) if member.has_begun else ():
            file = staging_path(self._run.writer.path, self._shards[piece.shard], next(self._attempts))
            self._crew.ask(member, "embed", piece.rows, file, about=(piece, file))

    def _take(self, answer: Answer) -> None:
        member = answer.member
        if answer.is_dead:
            self._on_worker_death(member)
        elif answer.about == "greet":
            member.host = answer.value
        elif answer.about == "load":
            self._idle.append(member)
        elif answer.about == "choose":
            self._on_worker_ready(answer)
        else:
            piece, file = answer.about
            if self._schedule.end(member, piece):
                again, outcome = self._divide(member, piece, answer.value)
                self._gathering.take(piece, outcome)
                self._end(piece, n_again=len(again))
            else:  # another one was faster
                file.unlink(missing_ok=True)
        for one in self._members if answer.is_dead else [member]:  # a death leaves work for any of them
            self._hand_out(one)

    def _divide(self, member: WorkerHandle, piece: Piece, outcome: Outcome) -> tuple[Rows, Outcome]:
        """Have another machine try what this one could not read, or had no memory for: that may be so on it alone.

        Returns:
            The rows that are tried again, and what came of all others.
        """
        suspects = {one.id for one in outcome.failures if one.reason in _OF_THE_MACHINE}
        here = {one for one in self._members if one.place.node == member.place.node} | piece.shunned
        elsewhere = [one for one in self._members if one.host is not None and one not in here]
        if not suspects or not elsewhere or member in piece.shunned:
            return piece.rows[:0], outcome
        ids = self._run.comparison.images["id"].take(piece.rows).to_pylist()
        again = piece.rows[[name in suspects for name in ids]]
        self._schedule.add(Piece(piece.shard, again, shunned=here))
        failures = tuple(failure for failure in outcome.failures if failure.id not in suspects)
        return again, dataclasses.replace(outcome, failures=failures)

    def _on_worker_ready(self, answer: Answer) -> None:
        self._n_false_starts = 0
        if self._has_choice and answer.member in self._choosers:  # it was asked before, and may have chosen otherwise
            self._choosers.remove(answer.member)
            self._have_choose(answer.member)
            return
        self._choosers.discard(answer.member)
        answer.member.has_begun = True
        self._run.n_workers = max(self._run.n_workers, sum(member.has_begun for member in self._members))
        if not self._has_choice:
            engine, tuning, spec = answer.value
            self._run.writer.update(engine=engine, tuning=tuning, spec=spec)
            self._run.first_read, self._run.cores = time.perf_counter(), len(answer.member.place.cores)
            self._has_choice = True

    def _on_worker_death(self, member: WorkerHandle) -> None:
        """Give a dead worker's pieces to others; what kills whoever takes it up is a failure in the end."""
        if member not in self._members:  # each question it was asked comes back
            return
        self._members.remove(member)
        self._idle = [one for one in self._idle if one is not member]
        self._choosers.discard(member)
        self._n_false_starts += not member.has_begun
        member.has_begun = False
        is_hopeless = not any(one.has_begun for one in self._members)
        if is_hopeless and self._n_false_starts >= _MOST_FALSE_STARTS * self._n_places:
            raise InputError(
                f"{self._n_false_starts} workers of the cluster in a row died while they loaded the backbone.",
                hint="Look into Ray's own logs, /tmp/ray/session_latest/logs on the machine; memory may be short.",
            )
        poison = self._schedule.lose(member)
        if poison is not None:
            (image,) = self._run.comparison.images.take(poison.rows).to_pylist()
            facts = ("embed", _DEADLY, "each process that took it up died", image["size_bytes"], image["mtime_ns"])
            self._gathering.fail(poison, Failure(image["id"], image["uri"], *facts))
            self._end(poison)

    def _end(self, piece: Piece, *, n_again: int = 0) -> None:
        self._n_false_starts = 0
        self._n_done += len(piece.rows) - n_again
        self._run.progress(self._n_done, self._run.plan.n_pending)
        if self._schedule.is_whole(piece.shard):
            self._gathering.end(piece.shard)

"""A run whose shards are embedded by a cluster: this process plans, commits and keeps the table."""

import dataclasses
import itertools
import time
from typing import Any, Protocol

import numpy as np

from embedder.crew import Answer, Crew, Member
from embedder.gathering import Gathering
from embedder.run import Run
from embedder.schedule import Piece, Schedule
from embedder.worker import Work
from features import Failure, InputError, Rows, connected

_LOOK_AROUND_S = 5.0
"""How often room for more workers is looked for."""
_SAMPLE = 4096
"""Rows on which an engine is tried at most."""
_MOST_FALSE_STARTS = 3
"""How many workers may die before one has begun, for each place that there is for one."""
_DEADLY = "kills its worker"


class Hands(Protocol):
    """What a run wants of a crew."""

    def hire(self) -> list[Member]:
        """Give new workers, wherever there is room."""

    def ask(self, member: Member, question: str, *words: Any, about: Any) -> None:
        """Have a worker do something."""

    def answers(self, *, seconds: float) -> Any:
        """Wait for answers."""


def embed_on_cluster(run: Run, work: Work) -> None:
    """Have all shards of a run that want a backbone embedded by a cluster's workers.

    Raises:
        InputError: Something the user can mend; what is stored stays.
    """
    with connected(str(work.options.ray)) as ray, Crew(ray, work) as crew:
        ClusterRun(run, crew).embed()
    run.writer.clear_staged()


class ClusterRun:
    """The shards of a run, given to workers, and committed as they come back.

    Args:
        run: The run.
        crew: The workers.
    """

    def __init__(self, run: Run, crew: Hands) -> None:
        self._run = run
        self._crew = crew
        self._shards = [shard for shard in run.plan.shards if len(shard.rows)]
        self._schedule = Schedule([shard.rows for shard in self._shards])
        self._gathering = Gathering(run, self._shards)
        rows = np.concatenate([shard.rows for shard in self._shards])
        self._sample: Rows = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))]
        self._attempts = itertools.count(time.time_ns())  # no name that a killed run's worker still writes to
        self._members: list[Member] = []
        self._idle: list[Member] = []  # those of them who have loaded the backbone, and were not asked to choose yet
        self._chooser: Member | None = None
        self._has_choice = False
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
        if time.perf_counter() - self._looked > _LOOK_AROUND_S:
            self._looked = time.perf_counter()
            fresh = self._crew.hire()
            self._members += fresh
            self._n_places = max(self._n_places, len(self._members))
            for member in fresh:
                self._crew.ask(member, "load", about="load")
        if not self._has_choice and self._chooser is None and self._idle:
            self._chooser = self._idle.pop(0)
            self._have_choose(self._chooser)
        while self._has_choice and self._idle:
            self._have_choose(self._idle.pop())

    def _have_choose(self, member: Member) -> None:
        manifest = dataclasses.replace(self._run.writer.manifest, parts=())
        self._crew.ask(member, "choose", self._sample, manifest, about="choose")

    def _hand_out(self, member: Member) -> None:
        for piece in self._schedule.take(member) if member.has_begun else ():
            file = self._run.writer.staged(self._shards[piece.shard], next(self._attempts))
            self._crew.ask(member, "embed", piece.rows, file, about=(piece, file))

    def _take(self, answer: Answer) -> None:
        member = answer.member
        if answer.is_dead:
            self._miss(member)
        elif answer.about == "load":
            self._idle.append(member)
        elif answer.about == "choose":
            self._welcome(answer)
        else:
            piece, file = answer.about
            if self._schedule.end(member, piece):
                self._gathering.take(piece, answer.value)
                self._end(piece)
            else:  # another one was faster
                file.unlink(missing_ok=True)
        for one in self._members if answer.is_dead else [member]:  # a death leaves work for any of them
            self._hand_out(one)

    def _welcome(self, answer: Answer) -> None:
        answer.member.has_begun = True
        self._n_false_starts = 0
        self._run.n_workers = max(self._run.n_workers, sum(member.has_begun for member in self._members))
        if not self._has_choice:
            engine, tuning, spec = answer.value
            self._run.writer.update(engine=engine, tuning=tuning, spec=spec)
            self._run.first_read, self._run.cores = time.perf_counter(), len(answer.member.place.cores)
            self._has_choice = True

    def _miss(self, member: Member) -> None:
        """Give a dead worker's pieces to others; what kills whoever takes it up is a failure in the end."""
        if member not in self._members:  # each question it was asked comes back
            return
        self._members.remove(member)
        self._idle = [one for one in self._idle if one is not member]
        self._chooser = None if self._chooser is member else self._chooser
        self._n_false_starts += not member.has_begun
        member.has_begun = False
        is_hopeless = not any(one.has_begun for one in self._members)
        if is_hopeless and self._n_false_starts >= _MOST_FALSE_STARTS * self._n_places:
            raise InputError(
                f"{self._n_false_starts} workers of the cluster died while they loaded the backbone.",
                mend="Look into Ray's own logs, /tmp/ray/session_latest/logs on the machine; memory may be short.",
            )
        deadly = self._schedule.lose(member)
        if deadly is not None:
            (image,) = self._run.comparison.images.take(deadly.rows).to_pylist()
            facts = ("embed", _DEADLY, "each process that took it up died", image["size_bytes"], image["mtime_ns"])
            self._gathering.fail(deadly, Failure(image["id"], image["uri"], *facts))
            self._end(deadly)

    def _end(self, piece: Piece) -> None:
        self._n_done += len(piece.rows)
        self._run.progress(self._n_done, self._run.plan.n_pending)
        if self._schedule.is_whole(piece.shard):
            self._gathering.end(piece.shard)

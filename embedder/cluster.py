"""A run whose shards are embedded by a cluster: this process plans, commits and keeps the table."""

import collections
import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from embedder.crew import Answer, Crew, Member
from embedder.known import Known
from embedder.run import Run
from embedder.schedule import Piece, Schedule
from embedder.shards import commit
from embedder.stages import Stages
from embedder.worker import Outcome, Work
from features import Failure, InputError, Part, Rows, Shard, connected, read_part, to_embeddings, to_part

_LOOK_AROUND_S, _SETTLE_S = 5.0, 5.0
"""How often room for more workers is looked for, and how often features.json is written anew at most."""
_SETTLE_SHARE = 0.05
"""Of the time that goes into writing it: it names all parts, and grows with them."""
_SAMPLE = 4096
"""Rows on which an engine is tried at most."""
_MOST_FALSE_STARTS = 3
"""How many workers may die before one has begun."""
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


@dataclasses.dataclass
class _Gathered:
    """What has come back of a shard."""

    outcomes: list[tuple[int, Outcome]] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)


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
        rows = np.concatenate([shard.rows for shard in self._shards])
        self._sample: Rows = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))]
        self._gathered: dict[int, _Gathered] = collections.defaultdict(_Gathered)
        self._known = Known(run.writer.learned, run.stored)
        self._new: list[Part] = []
        self._failures: list[Failure] = []
        self._attempts = itertools.count()
        self._members: list[Member] = []
        self._idle: list[Member] = []  # those of them who were not asked to choose an engine yet
        self._has_choice = False
        self._n_false_starts = 0
        self._n_done = 0
        self._looked = self._to_settle = -np.inf

    def embed(self) -> None:
        """Run until nothing is left; what has come back stands, however it ends."""
        self._run.progress(0, self._run.plan.n_pending)
        try:
            while self._schedule:
                self._look_around()
                for answer in self._crew.answers(seconds=1.0):
                    self._take(answer)
                if time.perf_counter() > self._to_settle:
                    self._settle()
        finally:
            self._settle()
        self._run.done = time.perf_counter()

    def _look_around(self) -> None:
        """Hire where there is room; all but the first wait for its choice of an engine."""
        if time.perf_counter() - self._looked > _LOOK_AROUND_S:
            self._looked = time.perf_counter()
            fresh = self._crew.hire()
            self._members += fresh
            self._idle += fresh
            for member in fresh:
                self._crew.ask(member, "load", about="load")
        asked = self._idle if self._has_choice else self._idle[: len(self._idle) == len(self._members)]
        self._idle = self._idle[len(asked) :]
        for member in asked:
            manifest = dataclasses.replace(self._run.writer.manifest, parts=())
            self._crew.ask(member, "choose", self._sample, manifest, about="choose")

    def _hand_out(self, member: Member) -> None:
        for piece in self._schedule.take(member) if member.has_begun else ():
            file = self._run.writer.staged(self._shards[piece.shard], next(self._attempts))
            self._crew.ask(member, "embed", piece.rows, file, about=(piece, file))

    def _take(self, answer: Answer) -> None:
        if answer.is_dead:
            self._miss(answer.member)
        elif answer.about == "choose":
            self._welcome(answer)
        elif answer.about != "load":
            piece, file = answer.about
            self._gather(answer.member, piece, file, answer.value)
        for member in self._members if answer.is_dead else [answer.member]:  # a death leaves work for any of them
            self._hand_out(member)

    def _welcome(self, answer: Answer) -> None:
        answer.member.has_begun = True
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
        self._n_false_starts += not member.has_begun
        member.has_begun = False
        if self._n_false_starts >= _MOST_FALSE_STARTS and not self._has_choice:
            raise InputError(
                f"{self._n_false_starts} workers of the cluster died while they loaded the backbone.",
                mend="Look into Ray's own logs, /tmp/ray/session_latest/logs on the machine; memory may be short.",
            )
        deadly = self._schedule.lose(member)
        if deadly is not None:
            (image,) = self._run.comparison.images.take(deadly.rows).to_pylist()
            facts = ("embed", _DEADLY, "each process that took it up died", image["size_bytes"], image["mtime_ns"])
            self._gathered[deadly.shard].failures.append(Failure(image["id"], image["uri"], *facts))
            self._end(deadly)

    def _gather(self, member: Member, piece: Piece, file: Path, outcome: Outcome) -> None:
        if not self._schedule.end(member, piece):  # another one was faster
            file.unlink(missing_ok=True)
            return
        gathered, run = self._gathered[piece.shard], self._run
        gathered.outcomes.append((int(piece.rows[0]), outcome))
        gathered.failures += outcome.failures
        run.n_embedded += outcome.n_embedded
        run.n_stored += outcome.part.rows if outcome.part else 0
        run.stages.add(outcome.stages)
        run.nodes.setdefault(outcome.host, Stages()).add(outcome.stages)
        self._end(piece)

    def _end(self, piece: Piece) -> None:
        self._n_done += len(piece.rows)
        self._run.progress(self._n_done, self._run.plan.n_pending)
        if self._schedule.is_whole(piece.shard):
            self._commit(self._shards[piece.shard], self._gathered.pop(piece.shard))

    def _commit(self, shard: Shard, gathered: _Gathered) -> None:
        writer = self._run.writer
        outcomes = [outcome for _, outcome in sorted(gathered.outcomes, key=lambda one: one[0])]
        parts = [outcome.part for outcome in outcomes if outcome.part]
        digests = [digest for outcome in outcomes for digest in outcome.digests]
        repeats = {digest for digest in digests if digest in self._known}
        if len(parts) == 1 and not (shard.drop or len(shard.copies) or repeats):
            self._new.append(writer.adopt(shard, parts[0]))
            self._failures += gathered.failures
        else:
            self._settle()
            files = [writer.staged_file(part) for part in parts]
            embedded = self._as_stored(pa.concat_tables(map(read_part, files)), repeats) if files else None
            commit(shard, writer, self._run.comparison, embedded, gathered.failures)
            for file in files:
                file.unlink()
        self._known.settle(shard.part, digests)

    def _as_stored(self, table: pa.Table, repeats: set[bytes]) -> pa.Table:
        """Give bytes that have an embedding already that one, to the last bit: another worker made it."""
        embeddings = to_embeddings(table["embedding"]).copy()
        for row, digest in enumerate(map(bytes.fromhex, table["sha256"].to_pylist())):
            seen = self._known.get(digest) if digest in repeats else None
            if seen is not None:
                embeddings[row] = seen.embedding
        return to_part({name: table[name] for name in table.column_names}, embeddings, table.schema)

    def _settle(self) -> None:
        """Name what stands; features.json grows with the table, so not after each part."""
        began = time.perf_counter()
        if self._new or self._failures:
            self._run.writer.stand(self._new, self._failures)
            self._new, self._failures = [], []
        ended = time.perf_counter()
        self._to_settle = ended + max(_SETTLE_S, (ended - began) / _SETTLE_SHARE)

"""What a cluster's workers give, gathered by shard and committed in an order in which nothing is lost."""

import collections
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from frieze.embedder.cluster.scheduler import Piece
from frieze.embedder.cluster.worker import Outcome
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.run import Run
from frieze.embedder.job.shard_writer import commit, new_rows
from frieze.embedder.job.timing import Stages
from frieze.features import PART, Failure, Part, Shard, move_staged_part, read_part, staged_file, to_embeddings, to_part

_SETTLE_S = 5.0
"""How often features.json is written anew at most."""
_SETTLE_SHARE = 0.05
"""Of the time that goes into writing it: it names all parts, and grows with them."""


@dataclasses.dataclass
class _Gathered:
    """What has come back of a shard."""

    outcomes: list[tuple[int, Outcome]] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)


class ResultCollector:
    """The shards of a run, taken piece by piece from workers.

    Args:
        run: The run.
        shards: Those that workers embed.
    """

    def __init__(self, run: Run, shards: Sequence[Shard]) -> None:
        self._run = run
        self._shards = shards
        self._gathered: dict[int, _Gathered] = collections.defaultdict(_Gathered)
        parts = run.comparison.stored[PART].to_numpy()
        self._copying = {
            number: set(parts[shard.source_rows])
            for number, shard in enumerate(shards)
            if len(shard.copies) and not shard.drop
        }
        self._waiting: list[int] = []
        self._known = EmbeddingCache(run.writer.computed_columns, run.stored)
        self._new: list[Part] = []
        self._failures: list[Failure] = []
        self._to_settle = -np.inf

    def take(self, piece: Piece, outcome: Outcome) -> None:
        """Take what a worker made of a piece."""
        run, gathered = self._run, self._gathered[piece.shard]
        gathered.outcomes.append((int(piece.rows[0]), outcome))
        gathered.failures += outcome.failures
        run.n_embedded += outcome.n_embedded
        run.n_stored += outcome.part.rows if outcome.part else 0
        run.stages.add(outcome.stages)
        run.tally.merge(outcome.tally)
        run.nodes.setdefault(outcome.host, Stages()).add(outcome.stages)

    def fail(self, piece: Piece, failure: Failure) -> None:
        """Take a piece of one image that nobody can embed."""
        self._gathered[piece.shard].failures.append(failure)

    def end(self, number: int) -> None:
        """Commit a shard of which all is there; an old part is rewritten when no new one copies from it any more."""
        if self._shards[number].drop:
            self._waiting.append(number)
        else:
            self._commit(number)
            self._copying.pop(number, None)
        wanted = set[int]().union(*self._copying.values())
        for one in [one for one in self._waiting if self._shards[one].part not in wanted]:
            self._waiting.remove(one)
            self._commit(one)

    def _commit(self, number: int) -> None:
        shard, gathered, writer = self._shards[number], self._gathered.pop(number), self._run.writer
        outcomes = [outcome for _, outcome in sorted(gathered.outcomes, key=lambda one: one[0])]
        parts = [outcome.part for outcome in outcomes if outcome.part]
        digests = [digest for outcome in outcomes for digest in outcome.digests]
        is_alone = len(parts) == 1 and not any(digest in self._known for digest in digests)
        if is_alone and not (shard.drop or len(shard.copies)):
            self._new.append(move_staged_part(writer.path, shard, parts[0]))
            self._failures += gathered.failures
        else:
            self._write(shard, parts, gathered.failures)
        self._known.settle(shard.part, digests)

    def _write(self, shard: Shard, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
        """Write a part of the files of several workers, or with more in it than they wrote."""
        writer, comparison = self._run.writer, self._run.comparison
        files = [staged_file(writer.path, part) for part in parts]
        embedded = self._as_stored(pa.concat_tables(map(read_part, files))) if files else None
        if shard.drop:
            self.settle()
            commit(shard, writer, comparison, embedded, failures)
        else:
            rows = new_rows(shard, writer, comparison, embedded)
            self._new += [] if rows is None else [writer.write_part(shard, rows)]
            self._failures += failures
        for file in files:
            file.unlink()

    def _as_stored(self, table: pa.Table) -> pa.Table:
        """Give bytes that have an embedding already that one, to the last bit: another worker made it."""
        embeddings = to_embeddings(table["embedding"]).copy()
        first: dict[bytes, int] = {}
        for row, digest in enumerate(map(bytes.fromhex, table["sha256"].to_pylist())):
            seen = self._known.get(digest)
            embeddings[row] = embeddings[first.setdefault(digest, row)] if seen is None else seen.embedding
        return to_part({name: table[name] for name in table.column_names}, embeddings, table.schema)

    def settle_in_time(self) -> None:
        """Name what stands, now and then."""
        if time.perf_counter() > self._to_settle:
            self.settle()

    def settle(self) -> None:
        """Name what stands; features.json grows with the table, so not after each part."""
        began = time.perf_counter()
        if self._new or self._failures:
            failures, self._failures = self._failures, []
            self._run.writer.register_parts(self._new, failures)
            self._new = []
        ended = time.perf_counter()
        self._to_settle = ended + max(_SETTLE_S, (ended - began) / _SETTLE_SHARE)

"""Collect the results of workers by shard, and commit each shard when it is complete.

Order matters: a part is rewritten only after the new parts that copy from it, and each part is registered once.
"""

import collections
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from frieze.embedder.cluster.scheduler import ShardSlice
from frieze.embedder.cluster.worker import SliceResult
from frieze.embedder.job.run import Run, RunStats
from frieze.embedder.job.shard_writer import commit, new_rows
from frieze.embedder.job.timing import StageTimes
from frieze.features import PART, Failure, Part, Shard, move_staged_part, read_part, staged_file, to_embeddings, to_part

_REGISTER_S = 5.0
"""How often features.json is rewritten at most."""
_REGISTER_SHARE = 0.05
"""Share of the time that goes into rewriting it: it lists all parts, and grows with them."""


@dataclasses.dataclass
class _ShardResults:
    """Results of a shard that is not complete yet."""

    slices: list[tuple[int, SliceResult]] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)


class ResultCollector:
    """Takes the results of slices, and commits shards.

    Args:
        run: The run.
        shards: Those that workers embed.
        stats: Counts the results.
    """

    def __init__(self, run: Run, shards: Sequence[Shard], stats: RunStats) -> None:
        self._run = run
        self._stats = stats
        self._shards = shards
        self._results: dict[int, _ShardResults] = collections.defaultdict(_ShardResults)
        parts = run.comparison.stored[PART].to_numpy()
        self._copied_parts = {
            number: set(parts[shard.source_rows])
            for number, shard in enumerate(shards)
            if len(shard.copies) and not shard.drop
        }
        self._rewrites: list[int] = []
        self._new_parts: list[Part] = []
        self._failures: list[Failure] = []
        self._register_at = -np.inf

    def add(self, shard_slice: ShardSlice, result: SliceResult) -> None:
        """Add the result of a slice."""
        stats, results = self._stats, self._results[shard_slice.shard]
        results.slices.append((int(shard_slice.rows[0]), result))
        results.failures += result.failures
        stats.n_embedded += result.n_embedded
        stats.n_stored += result.part.rows if result.part else 0
        stats.times.add(result.times)
        stats.tally.merge(result.tally)
        stats.nodes.setdefault(result.host, StageTimes()).add(result.times)

    def add_failure(self, shard_slice: ShardSlice, failure: Failure) -> None:
        """Add the failure of a single poison image."""
        self._results[shard_slice.shard].failures.append(failure)

    def finish(self, number: int) -> None:
        """Commit a complete shard; an old part is rewritten once no pending new part copies from it."""
        if self._shards[number].drop:
            self._rewrites.append(number)
        else:
            self._commit(number)
            self._copied_parts.pop(number, None)
        still_copied = set[int]().union(*self._copied_parts.values())
        for rewrite in [one for one in self._rewrites if self._shards[one].part not in still_copied]:
            self._rewrites.remove(rewrite)
            self._commit(rewrite)

    def _commit(self, number: int) -> None:
        shard, results, writer = self._shards[number], self._results.pop(number), self._run.writer
        slices = [result for _, result in sorted(results.slices, key=lambda one: one[0])]
        parts = [result.part for result in slices if result.part]
        digests = [digest for result in slices for digest in result.digests]
        is_ready_made = len(parts) == 1 and not any(digest in self._run.cache for digest in digests)
        if is_ready_made and not (shard.drop or len(shard.copies)):
            self._new_parts.append(move_staged_part(writer.path, shard, parts[0]))
            self._failures += results.failures
        else:
            self._write(shard, parts, results.failures)
        self._run.cache.mark_committed(shard.part, digests)

    def _write(self, shard: Shard, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
        """Write a part from the files of several workers, or one with more rows than they wrote."""
        writer, comparison = self._run.writer, self._run.comparison
        files = [staged_file(writer.path, part) for part in parts]
        embedded = self._deduplicate(pa.concat_tables(map(read_part, files))) if files else None
        if shard.drop:
            self.register()
            commit(shard, writer, comparison, embedded, failures)
        else:
            rows = new_rows(shard, writer, comparison, embedded)
            self._new_parts += [] if rows is None else [writer.write_part(shard, rows)]
            self._failures += failures
        for file in files:
            file.unlink()

    def _deduplicate(self, table: pa.Table) -> pa.Table:
        """Set equal bytes to one embedding, to the last bit, where another worker computed it already."""
        embeddings = to_embeddings(table["embedding"]).copy()
        first: dict[bytes, int] = {}
        for row, digest in enumerate(map(bytes.fromhex, table["sha256"].to_pylist())):
            cached = self._run.cache.get(digest)
            embeddings[row] = embeddings[first.setdefault(digest, row)] if cached is None else cached.embedding
        return to_part({name: table[name] for name in table.column_names}, embeddings, table.schema)

    def register_if_due(self) -> None:
        """Register new parts in features.json, if the last time is long enough ago."""
        if time.perf_counter() > self._register_at:
            self.register()

    def register(self) -> None:
        """Register new parts in features.json; it grows with the table, so not after each part."""
        started = time.perf_counter()
        if self._new_parts or self._failures:
            failures, self._failures = self._failures, []
            self._run.writer.register_parts(self._new_parts, failures)
            self._new_parts = []
        ended = time.perf_counter()
        self._register_at = ended + max(_REGISTER_S, (ended - started) / _REGISTER_SHARE)

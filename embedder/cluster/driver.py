"""The driver of a Ray run: start workers, assign slices of shards, handle crashes, commit what comes back.

This process plans and keeps the table; the workers embed. A dead worker's slices go to others, stragglers are copied,
and an image that kills every worker is recorded as a failure. Committed shards are checkpoints: a run can resume.
"""

import dataclasses
import itertools
import logging
import time
from typing import Any, Protocol

import numpy as np

from frieze.core import OUT_OF_MEMORY, InputError, Rows, connect_to_ray, evenly_spaced
from frieze.embedder.cluster.results import ResultCollector
from frieze.embedder.cluster.scheduler import Scheduler, ShardSlice
from frieze.embedder.cluster.worker import SliceResult, WorkerConfig
from frieze.embedder.cluster.worker_pool import Reply, WorkerHandle, WorkerPool
from frieze.embedder.job.run import Run, RunStats
from frieze.features import Failure, clear_staged_parts, staging_path

_LOG = logging.getLogger("frieze")
_START_WORKERS_S = 5.0
"""How often the driver looks for free slots."""
_SAMPLE = 4096
"""Most rows on which a worker tries engines."""
_MOST_FALSE_STARTS = 3
"""How many workers a slot may die before one is ready, while nothing is embedded."""
_PATIENCE_S = 10.0
"""How long the driver waits for a first worker before it logs what is missing."""
_CHOICE_S = 20.0
"""How long a worker may take to choose an engine before another one is asked as well."""
_MACHINE_REASONS = ("unreadable", "missing", OUT_OF_MEMORY)
"""Reasons of failures that may hold on one machine only."""
_POISON = "kills its worker"


class PoolProtocol(Protocol):
    """The part of `WorkerPool` that a driver uses."""

    shortage: str | None

    def start_workers(self) -> list[WorkerHandle]:
        """Start a worker in every free slot; return the new ones."""

    def call(self, worker: WorkerHandle, method: str, *args: Any, context: Any) -> None:
        """Call a method of a worker."""

    def replies(self, *, timeout_s: float) -> Any:
        """Wait for replies."""


def embed_on_cluster(run: Run, config: WorkerConfig) -> RunStats:
    """Embed all shards of a run that need a backbone on a cluster's workers.

    Raises:
        InputError: Something the user can fix; the committed shards stay.
    """
    with connect_to_ray(str(config.options.ray)) as ray, WorkerPool(ray, config) as pool:
        stats = ClusterDriver(run, pool).embed()
    clear_staged_parts(run.writer.path)
    return stats


class ClusterDriver:
    """Assigns the shards of a run to workers, and commits the results.

    Args:
        run: The run.
        pool: The workers.
    """

    def __init__(self, run: Run, pool: PoolProtocol) -> None:
        self._run = run
        self._pool = pool
        self._stats = RunStats()
        self._shards = [shard for shard in run.plan.shards if len(shard.rows)]
        self._scheduler = Scheduler([shard.rows for shard in self._shards])
        self._results = ResultCollector(run, self._shards, self._stats)
        rows = np.concatenate([shard.rows for shard in self._shards])
        self._sample: Rows = evenly_spaced(rows, _SAMPLE)
        self._attempts = itertools.count(time.time_ns())  # no file name that a killed run's worker still writes to
        self._workers: list[WorkerHandle] = []
        self._loaded: list[WorkerHandle] = []  # with the backbone, not asked for an engine yet
        self._choosing: set[WorkerHandle] = set()  # asked before there was a choice, without a reply
        self._has_choice = False
        self._no_worker_since = self._requested_at = time.perf_counter()
        self._is_shortage_logged = False
        self._n_false_starts = self._n_slots = 0
        self._n_done = 0
        self._started_workers_at = -np.inf

    def embed(self) -> RunStats:
        """Run until no slice is left; each committed shard stays, however the run ends."""
        self._run.progress(0, self._run.plan.n_pending)
        try:
            while self._scheduler:
                self._assign_work()
                for reply in self._pool.replies(timeout_s=1.0):
                    self._handle(reply)
                self._results.register_if_due()
        finally:
            self._results.register()
        self._stats.finished_at = time.perf_counter()
        return self._stats

    def _assign_work(self) -> None:
        """Start workers in free slots; all but the first wait for its choice of an engine."""
        now = time.perf_counter()
        if now - self._started_workers_at > _START_WORKERS_S:
            self._started_workers_at = now
            self._start_workers()
            for worker in self._workers:  # a slice that workers avoided becomes free for them after a while
                self._assign(worker)
        if not self._has_choice and self._loaded and (not self._choosing or now - self._requested_at > _CHOICE_S):
            self._ask_another_to_choose()
        while self._has_choice and self._loaded:
            self._ask_to_choose(self._loaded.pop())

    def _start_workers(self) -> None:
        started = self._pool.start_workers()
        self._workers += started
        self._n_slots = max(self._n_slots, len(self._workers))
        for worker in started:
            self._pool.call(worker, "hostname", context="hostname")
            self._pool.call(worker, "load", context="load")
        now, shortage = self._started_workers_at, self._pool.shortage
        if any(worker.host is not None for worker in self._workers):
            self._no_worker_since, self._is_shortage_logged = now, False
        elif shortage and not self._is_shortage_logged and now - self._no_worker_since >= _PATIENCE_S:
            self._is_shortage_logged = True
            self._note(f"Waiting for {shortage}.")

    def _note(self, note: str) -> None:
        _LOG.warning(note)
        self._stats.cluster_notes.append(note)

    def _ask_another_to_choose(self) -> None:
        slow_hosts = sorted({str(worker.host) for worker in self._choosing})
        worker = self._loaded.pop(0)
        if slow_hosts:
            after = f"after {_CHOICE_S:.0f} s {worker.host} is asked, too"
            self._note(f"A worker on {', '.join(slow_hosts)} has not chosen an engine yet; {after}.")
        self._choosing.add(worker)
        self._requested_at = time.perf_counter()
        self._ask_to_choose(worker)

    def _ask_to_choose(self, worker: WorkerHandle) -> None:
        manifest = dataclasses.replace(self._run.writer.manifest, parts=())
        self._pool.call(worker, "choose_engine", self._sample, manifest, context="choose_engine")

    def _assign(self, worker: WorkerHandle) -> None:
        for shard_slice in self._scheduler.take(worker) if worker.is_ready else ():
            file = staging_path(self._run.writer.path, self._shards[shard_slice.shard], next(self._attempts))
            self._pool.call(worker, "embed", shard_slice.rows, file, context=(shard_slice, file))

    def _handle(self, reply: Reply) -> None:
        worker = reply.worker
        if reply.is_dead:
            self._on_worker_death(worker)
        elif reply.context == "hostname":
            worker.host = reply.value
        elif reply.context == "load":
            self._loaded.append(worker)
        elif reply.context == "choose_engine":
            self._on_worker_ready(reply)
        else:
            shard_slice, file = reply.context
            if self._scheduler.finish(worker, shard_slice):
                retried, result = self._retry_elsewhere(worker, shard_slice, reply.value)
                self._results.add(shard_slice, result)
                self._finish(shard_slice, n_retried=len(retried))
            else:  # another worker was faster
                file.unlink(missing_ok=True)
        for one in self._workers if reply.is_dead else [worker]:  # a death leaves work for any of them
            self._assign(one)

    def _retry_elsewhere(
        self, worker: WorkerHandle, shard_slice: ShardSlice, result: SliceResult
    ) -> tuple[Rows, SliceResult]:
        """Queue images again that this machine could not read or had no memory for, for another machine.

        Returns:
            The rows to retry, and the result of all others.
        """
        suspects = {failure.id for failure in result.failures if failure.reason in _MACHINE_REASONS}
        avoided = {one for one in self._workers if one.slot.node == worker.slot.node} | shard_slice.avoided
        others = [one for one in self._workers if one.host is not None and one not in avoided]
        if not suspects or not others or worker in shard_slice.avoided:
            return shard_slice.rows[:0], result
        ids = self._run.comparison.images["id"].take(shard_slice.rows).to_pylist()
        retried = shard_slice.rows[[name in suspects for name in ids]]
        self._scheduler.add(ShardSlice(shard_slice.shard, retried, avoided=avoided))
        failures = tuple(failure for failure in result.failures if failure.id not in suspects)
        return retried, dataclasses.replace(result, failures=failures)

    def _on_worker_ready(self, reply: Reply) -> None:
        self._n_false_starts = 0
        if self._has_choice and reply.worker in self._choosing:  # it was asked first, and may have chosen otherwise
            self._choosing.remove(reply.worker)
            self._ask_to_choose(reply.worker)
            return
        self._choosing.discard(reply.worker)
        reply.worker.is_ready = True
        stats = self._stats
        stats.n_workers = max(stats.n_workers, sum(worker.is_ready for worker in self._workers))
        if not self._has_choice:
            engine, tuning, spec = reply.value
            self._run.writer.update(engine=engine, tuning=tuning, spec=spec)
            stats.first_read_at, stats.cores = time.perf_counter(), len(reply.worker.slot.cores)
            self._has_choice = True

    def _on_worker_death(self, worker: WorkerHandle) -> None:
        """Reassign a dead worker's slices; a poison image that kills every worker becomes a failure."""
        if worker not in self._workers:  # each of its open calls returns
            return
        self._workers.remove(worker)
        self._loaded = [one for one in self._loaded if one is not worker]
        self._choosing.discard(worker)
        self._n_false_starts += not worker.is_ready
        worker.is_ready = False
        is_any_ready = any(one.is_ready for one in self._workers)
        if not is_any_ready and self._n_false_starts >= _MOST_FALSE_STARTS * self._n_slots:
            raise InputError(
                f"{self._n_false_starts} workers of the cluster in a row died while they loaded the backbone.",
                hint="Look into Ray's own logs, /tmp/ray/session_latest/logs on the machine; memory may be short.",
            )
        poison = self._scheduler.on_worker_death(worker)
        if poison is not None:
            (image,) = self._run.comparison.images.take(poison.rows).to_pylist()
            failure = Failure(
                image["id"],
                image["uri"],
                stage="embed",
                reason=_POISON,
                message="every worker that took it died",
                size=image["size_bytes"],
                mtime=image["mtime_ns"],
            )
            self._results.add_failure(poison, failure)
            self._finish(poison)

    def _finish(self, shard_slice: ShardSlice, *, n_retried: int = 0) -> None:
        self._n_false_starts = 0
        self._n_done += len(shard_slice.rows) - n_retried
        self._run.progress(self._n_done, self._run.plan.n_pending)
        if self._scheduler.is_complete(shard_slice.shard):
            self._results.finish(shard_slice.shard)

"""Embedding on a Ray cluster: Ray's overhead, the speed-up of a second worker, and the driver's throughput.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.ray_cluster [PASSAGE ...]   prints docs/benchmarks.md's tables;
passages: scaling, plan, driver.
"""

import heapq
import itertools
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import DATA, FRIEZE
from benchmarks.tables import run_passages, show
from frieze.core import Rows
from frieze.embedder import (
    ClusterDriver,
    JobOptions,
    Listing,
    Reply,
    SliceResult,
    Slot,
    Source,
    StageTimes,
    WorkerHandle,
    plan_run,
)
from frieze.features import LISTING, PART, BackboneSpec, Manifest, Part, compare, make_plan, open_writer, to_failures

BACKBONE = DATA / "backbones" / "mobilenet_v2_100_224" / "saved_model"
IMAGES = DATA / "images" / "cifar10_test_webdataset"
SHARD = 250
N_IMAGES, N_SHARDS, N_WORKERS = 10_000_000, 100_000, 1000
RATE = 500
"""Images a second of a simulated worker."""
SPEC = BackboneSpec(name="none", handle="none", fingerprint="0" * 64, dim=256, image_size=(1, 1), pixels="0..1")


def embed(out: Path, *options: object, cores: str = "0-1") -> dict[str, Any]:
    """Embed the 10,000 images in a separate process, pinned to some cores."""
    command = ["taskset", "-c", cores, FRIEZE, "embed", IMAGES, "--backbone", BACKBONE, "--out", out, "--json"]
    line = [*command, "--engine", "openvino", "--batch-size", "32", "--shard-size", str(SHARD), *options]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def scaling(folder: Path) -> None:
    """Print the seconds of one core without Ray, of one worker with a core, and of two."""
    from ray.cluster_utils import Cluster

    rows = [["this process, one core", *_seconds(embed(folder / "local", cores="0"))]]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for n_workers in (1, 2):
        document = embed(folder / f"ray-{n_workers}", "--ray", cluster.address)
        rows.append([f"{n_workers} worker{'s' * (n_workers > 1)} of the cluster, one core each", *_seconds(document)])
        cluster.add_node(num_cpus=1)
    cluster.shutdown()
    one, other, both = (float(row[1]) for row in rows)
    note = f"Ray's overhead with one worker: {other / one - 1:.1%}. Two workers against one: {other / both:.2f} times."
    show("cluster scaling", "10,000 images | seconds | start-up, seconds", rows, note, digits=2)


def _seconds(document: dict[str, Any]) -> list[float]:
    return [document["seconds"], document["startup_seconds"]]


def listing_of(n_images: int) -> Listing:
    """Return a listing of that many invented files."""
    numbers = np.arange(n_images)
    ids = pa.array([f"{number % 1000:03d}/{number:08d}.jpg" for number in numbers.tolist()])
    uris = pa.array([f"/photos/{number % 1000:03d}/{number:08d}.jpg" for number in numbers.tolist()])
    labels = pa.array([f"{number % 1000:03d}" for number in numbers.tolist()])
    columns = [ids, uris, labels, pa.array(numbers), pa.array(numbers)]
    return Listing("/photos", pa.table(columns, schema=pa.schema([LISTING.field(n) for n in range(5)])))


def planning(_: Path) -> None:
    """Print the driver's time and memory for a plan of 10,000,000 images, and for sending the listing to Ray."""
    import ray

    listing = listing_of(N_IMAGES)
    before, began = _peak_mb(), time.perf_counter()
    nothing = pa.schema([*LISTING, pa.field(PART, pa.int64())]).empty_table()
    comparison = compare(listing.images, nothing, to_failures([]))
    plan = make_plan(comparison, np.full(N_IMAGES, -1), shard_size=4096)
    planned = time.perf_counter() - began
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=1)
    began = time.perf_counter()
    ray.put(Source(listing, lambda rows: rows))
    put = time.perf_counter() - began
    rows = [
        ["compare and plan, seconds", planned],
        ["hand the listing to the cluster, seconds", put],
        ["peak memory of the process, MB, the listing's own included", _peak_mb()],
        ["of this the listing, MB", before],
    ]
    show("cluster plan", f"{N_IMAGES:,} images, {len(plan.shards):,} shards | ", rows, digits=1)
    ray.shutdown()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Simulated:
    """A thousand simulated workers: each shard is done after its time on a simulated clock.

    Attributes:
        seconds: The simulated time.
        shortage: None: the simulated cluster has room for all.
    """

    shortage: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._coming: list[tuple[float, int, Reply]] = []
        self._free: dict[WorkerHandle, float] = {}
        self.seconds = 0.0

    def start_workers(self) -> list[WorkerHandle]:
        """Return all of them, once."""
        if self._free:
            return []
        self._free = {WorkerHandle(Slot("node", range(n, n + 1), 0), None): 0.0 for n in range(N_WORKERS)}
        return list(self._free)

    def call(self, worker: WorkerHandle, method: str, *args: Any, context: Any) -> None:
        """Schedule a worker's reply; its file is written at once."""
        done_at = max(self.seconds, self._free[worker])
        value: Any = ("none", {}, SPEC)
        if method == "embed":
            rows, file = args
            done_at += len(rows) / RATE
            file.write_bytes(b"")
            value = SliceResult(Part(file.name, len(rows), 0, 0, "0" * 64), (), (), len(rows), StageTimes(), "node")
        self._free[worker] = done_at
        heapq.heappush(self._coming, (done_at, next(self._numbers), Reply(worker, context, value, is_dead=False)))

    def replies(self, *, timeout_s: float) -> Iterator[Reply]:
        """Yield what is done within `timeout_s` milliseconds of simulated time after the next reply."""
        end = self._coming[0][0] + timeout_s / 1000 if self._coming else 0.0
        while self._coming and self._coming[0][0] <= end:
            self.seconds, _, reply = heapq.heappop(self._coming)
            yield reply


def driver(folder: Path) -> None:
    """Print the driver's throughput for the shards of a thousand workers."""
    listing = listing_of(N_SHARDS * 4)
    options = JobOptions(shard_size=4)  # the driver's work is by the shard
    manifest = Manifest(spec=SPEC, source=listing.source)
    with open_writer(folder / "table", manifest) as writer:
        run = plan_run(time.perf_counter(), writer, Source(listing, _no_bytes), options, lambda *_: None)
        pool = Simulated(folder)
        began, cpu = time.perf_counter(), time.process_time()
        ClusterDriver(run, pool).embed()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        _check_all(run)
    rows = [
        ["shards a second that the driver hands out and commits", N_SHARDS / seconds],
        [f"shards a second of {N_WORKERS:,} workers at {RATE} images a second, 4,096 a shard", N_WORKERS * RATE / 4096],
        ["seconds in all, of which processor", f"{seconds:.1f}, {cpu:.1f}"],
        ["peak memory of the process, MB", _peak_mb()],
    ]
    show("cluster driver", f"{N_SHARDS:,} shards, {N_WORKERS:,} simulated workers | ", rows, digits=1)


def _no_bytes(rows: Rows) -> list[bytes]:
    return [b""] * len(rows)


def _check_all(run: Any) -> None:
    if run.writer.manifest.n_rows != run.plan.n_pending or len(run.writer.manifest.parts) != N_SHARDS:
        raise SystemExit(f"{run.writer.manifest.n_rows} rows of {run.plan.n_pending} are committed")


PASSAGES = {"scaling": scaling, "plan": planning, "driver": driver}

if __name__ == "__main__":
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    run_passages(PASSAGES)

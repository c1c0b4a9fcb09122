"""Whether threads keep the cores busy with decoding, or processes have to decode."""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from frieze.core import ImageError, count_cores, read_core_times
from frieze.embedder.images.prepare import prepare
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.features import BackboneSpec

_FEW_THREADS = 4
"""So many threads never wait for Python's lock long enough to pay for processes."""
_WAITING = 0.2
"""From this share of their time on, threads wait for each other so long that processes pay."""
_SHORTEST_S, _MEASURED_S = 20.0, 0.3
"""Seconds of decoding from which a run pays for starting processes, and for how long threads are watched."""


def needs_processes(sample: CalibrationSample, workers: int) -> bool:
    """Measure whether threads that decode would wait for each other.

    Args:
        sample: Some of the images.
        workers: How many would decode at once.
    """
    if not can_pay(len(sample.rows), workers, images_per_second=workers / sample.decode_s):
        return False
    files = [content for content in sample.source.read(sample.sampled_rows) if not isinstance(content, ImageError)]
    return bool(files) and measure_waiting(files, sample.spec, workers, max_pixels=sample.limits.max_pixels) > _WAITING


def can_pay(n_images: int, workers: int, *, images_per_second: float) -> bool:
    """Return whether processes could pay in a run: there are many, the run is long, and they can be started here."""
    can_start = os.name == "posix" and bool(sys.executable)
    return can_start and workers > _FEW_THREADS and n_images / images_per_second >= _SHORTEST_S


def measure_waiting(files: Sequence[bytes], spec: BackboneSpec, workers: int, *, max_pixels: int) -> float:
    """Return the share of their time, in [0, 1], that decoding threads wait though a core is idle: for Python's lock.

    Where the system does not say how idle the cores are, other programs are taken to be so.
    """
    end = time.perf_counter() + _MEASURED_S

    def decode(first: int) -> float:
        start, at = time.thread_time(), first
        while time.perf_counter() < end:
            with contextlib.suppress(ImageError):
                prepare(files[at % len(files)], spec, max_pixels=max_pixels)
            at += workers
        return time.thread_time() - start

    start, before = time.perf_counter(), read_core_times()
    with ThreadPoolExecutor(workers) as pool:
        busy_s = sum(pool.map(decode, range(workers)))
    seconds, after = time.perf_counter() - start, read_core_times()
    most_s = min(workers, count_cores()) * seconds
    idle_s = most_s if before is None or after is None else after.idle_s - before.idle_s
    return max(0.0, min(most_s - busy_s, idle_s) / most_s)

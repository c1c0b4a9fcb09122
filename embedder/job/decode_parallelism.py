"""Whether threads keep the cores busy with decoding, or processes have to decode."""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from frieze.core import ImageError
from frieze.embedder.images.prepare import prepare
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.features import BackboneSpec

FEW_THREADS = 4
"""So many threads never wait for Python's lock long enough to pay for processes."""
_BUSY = 0.8
"""Below this share of their time on the processor, threads wait for each other."""
_SHORTEST_S, _MEASURED_S = 20.0, 0.3
"""Seconds of decoding from which a run pays for starting processes, and for how long threads are watched."""


def needs_processes(sample: CalibrationSample, workers: int) -> bool:
    """Measure whether threads that decode would wait for each other.

    Args:
        sample: Some of the images.
        workers: How many would decode at once.
    """
    can_start = os.name == "posix" and bool(sys.executable)
    is_long = len(sample.rows) * sample.decode_s / workers >= _SHORTEST_S
    if workers <= FEW_THREADS or not can_start or not is_long:
        return False
    files = [content for content in sample.source.read(sample.sampled_rows) if not isinstance(content, ImageError)]
    return bool(files) and measure_busy(files, sample.spec, workers, max_pixels=sample.max_pixels) < _BUSY


def measure_busy(files: Sequence[bytes], spec: BackboneSpec, workers: int, *, max_pixels: int) -> float:
    """Return the share of their time that threads spend on the processor while all of them decode, in [0, 1]."""
    end = time.perf_counter() + _MEASURED_S

    def decode(first: int) -> float:
        start, at = time.thread_time(), first
        while time.perf_counter() < end:
            with contextlib.suppress(ImageError):
                prepare(files[at % len(files)], spec, max_pixels=max_pixels)
            at += workers
        return time.thread_time() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        busy_s = sum(pool.map(decode, range(workers)))
    return min(1.0, busy_s / (workers * (time.perf_counter() - start)))

import types

import numpy as np
import pytest

from frieze.core import CoreTimes
from frieze.embedder.images.limits import Limits
from frieze.embedder.job import decode_parallelism
from frieze.embedder.job.decode_parallelism import can_pay, measure_waiting, needs_processes

MANY_ROWS = np.arange(1_000_000)


def sample(rows=MANY_ROWS):
    """Return a sample of images that take a millisecond each."""
    source = types.SimpleNamespace(read=lambda rows: [b"image"] * len(rows))
    return types.SimpleNamespace(
        rows=rows, sampled_rows=rows[:4], decode_s=1e-3, source=source, spec=None, limits=Limits()
    )


@pytest.fixture
def waiting(monkeypatch):
    """`waiting(share)`: threads wait for this share; the returned list counts the measurements."""

    def install(share):
        measured = []
        monkeypatch.setattr(
            decode_parallelism, "measure_waiting", lambda *_args, **_options: measured.append(1) or share
        )
        return measured

    return install


@pytest.mark.parametrize(("share", "expected"), [(0.5, True), (0.05, False)])
def test_threads_that_wait_need_processes(share, expected, waiting):
    """Processes decode where threads spend much of their time waiting for each other."""
    waiting(share)
    assert needs_processes(sample(), 16) is expected


@pytest.mark.parametrize(("workers", "rows"), [(4, MANY_ROWS), (16, MANY_ROWS[:10_000])])
def test_not_measured(workers, rows, waiting):
    """With few threads, or little to decode, processes are not thought of."""
    measured = waiting(0.9)
    assert needs_processes(sample(rows), workers) is False
    assert not measured


def test_nothing_can_be_started(monkeypatch):
    """Where this Python does not know its own program, no process is started."""
    assert can_pay(1_000_000, 16, images_per_second=1000)
    monkeypatch.setattr(decode_parallelism.sys, "executable", "")
    assert not can_pay(1_000_000, 16, images_per_second=1000)


@pytest.mark.parametrize(("idle_s", "least"), [(1000.0, 0.7), (0.0, 0.0), (None, 0.7)])
def test_waiting_for_the_lock(idle_s, least, monkeypatch):
    """Six threads that hold Python's lock wait for five sixths of their time or more, unless no core was idle."""

    def hold_the_lock(*_args, **_options):
        for _ in range(2_000):
            pass

    times = iter([None, None] if idle_s is None else [CoreTimes(1.0, 1.0), CoreTimes(2.0, 1.0 + idle_s)])
    monkeypatch.setattr(decode_parallelism, "_MEASURED_S", 0.1)
    monkeypatch.setattr(decode_parallelism, "prepare", hold_the_lock)
    monkeypatch.setattr(decode_parallelism, "count_cores", lambda: 8)
    monkeypatch.setattr(decode_parallelism, "read_core_times", lambda: next(times))
    waiting = measure_waiting([b"1", b"2"], None, 6, max_pixels=1)
    assert least <= waiting <= (1 if least else 0)

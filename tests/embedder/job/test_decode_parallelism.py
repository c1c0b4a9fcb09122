import types

import numpy as np
import pytest

from frieze.embedder.job import decode_parallelism
from frieze.embedder.job.decode_parallelism import measure_busy, needs_processes

MANY_ROWS = np.arange(1_000_000)


def sample(rows=MANY_ROWS):
    """Return a sample of images that take a millisecond each."""
    source = types.SimpleNamespace(read=lambda rows: [b"image"] * len(rows))
    return types.SimpleNamespace(
        rows=rows, sampled_rows=rows[:4], decode_s=1e-3, source=source, spec=None, max_pixels=1
    )


@pytest.fixture
def busy(monkeypatch):
    """`busy(share)`: threads are busy for this share; the returned list counts the measurements."""

    def install(share):
        measured = []
        monkeypatch.setattr(decode_parallelism, "measure_busy", lambda *_args, **_options: measured.append(1) or share)
        return measured

    return install


@pytest.mark.parametrize(("share", "expected"), [(0.5, True), (0.95, False)])
def test_threads_that_wait_need_processes(share, expected, busy):
    """Processes decode where threads spend much of their time waiting for each other."""
    busy(share)
    assert needs_processes(sample(), 16) is expected


@pytest.mark.parametrize(("workers", "rows"), [(4, MANY_ROWS), (16, MANY_ROWS[:10_000])])
def test_not_measured(workers, rows, busy):
    """With few threads, or little to decode, processes are not thought of."""
    measured = busy(0.1)
    assert needs_processes(sample(rows), workers) is False
    assert not measured


def test_busy_share(monkeypatch):
    """Six threads that hold Python's lock are busy for a sixth of their time together."""

    def hold_the_lock(*_args, **_options):
        for _ in range(2_000):
            pass

    monkeypatch.setattr(decode_parallelism, "_MEASURED_S", 0.1)
    monkeypatch.setattr(decode_parallelism, "prepare", hold_the_lock)
    assert measure_busy([b"1", b"2"], None, 6, max_pixels=1) < 0.4

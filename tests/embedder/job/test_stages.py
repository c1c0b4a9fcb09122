import contextlib
import types

import pytest

from frieze.embedder.job.timing import Stages


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds, cpu=0)`: let time pass, and the process use the processor; nothing else does."""
    now, used = [100.0], [10.0]

    def advance(seconds, cpu=0):
        now[0] += seconds
        used[0] += cpu

    monkeypatch.setattr("frieze.embedder.job.timing.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("frieze.embedder.job.timing.time.process_time", lambda: used[0])
    return advance


def batch(read_s=0.0, decode_s=0.0, read_cpu_s=0.0, decode_cpu_s=0.0):
    """Give a batch that took so long."""
    return types.SimpleNamespace(read_s=read_s, decode_s=decode_s, read_cpu_s=read_cpu_s, decode_cpu_s=decode_cpu_s)


def test_waiting(clock):
    """The seconds of all blocks of a stage add up, also of one that fails."""
    stages = Stages()
    with stages.waiting("infer"):
        clock(2)
    with contextlib.suppress(KeyError), stages.waiting("infer"):
        clock(3)
        raise KeyError
    assert stages.waited.to_json() == {"read": 0.0, "decode": 0.0, "infer": 5.0, "write": 0.0}


def test_timed(clock):
    """The wait for a batch is divided as its threads divided theirs; the time between two batches is not counted."""
    stages = Stages()

    def batches():
        clock(4)
        yield batch(read_s=1, decode_s=3)
        clock(2)
        yield batch(read_s=5, decode_s=5)

    for _ in stages.timed(batches()):
        clock(100)
    assert (stages.waited.read, stages.waited.decode) == (pytest.approx(2), pytest.approx(4))


def test_cpu(clock):
    """Of the processor's time the network took what no other stage did, from the first image on."""
    clock(0, cpu=1000)
    stages = Stages()
    list(stages.timed(iter([batch(read_cpu_s=1, decode_cpu_s=4), batch(decode_cpu_s=2)])))
    clock(10, cpu=15)
    stages.end(write_cpu_s=0.5)
    assert stages.cpu.to_json() == {"read": 1.0, "decode": 6.0, "infer": 7.5, "write": 0.5}


def test_no_seconds(clock):
    """A batch that took no time at all divides nothing by zero."""
    stages = Stages()
    one = batch()
    assert list(stages.timed(iter([one]))) == [one]
    assert stages.waited.to_json() == dict.fromkeys(("read", "decode", "infer", "write"), 0.0)

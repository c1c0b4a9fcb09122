import contextlib

import numpy as np
import pytest

from frieze.core import CoreTimes
from frieze.embedder.job import timing
from frieze.embedder.job.decoder import Batch, BatchRows
from frieze.embedder.job.timing import NAMES, Load, RunFacts, Seconds, StageTimes, explain, measure_load

IDLE, FULL = Load(others=0.1, idle=0.5), Load(others=0.55, idle=0.05)


def advice(*, waited=None, cpu=None, load=IDLE, **facts):
    """Return the advice for ten seconds on two cores."""
    waited, cpu = waited or Seconds(decode=6), cpu or Seconds(decode=4)
    return explain(waited, cpu, RunFacts(seconds=10, cores=2, load=load, **facts)).advice


@pytest.mark.parametrize("stage", NAMES)
def test_busy_cores(stage):
    """If the cores are busy, the stage with most CPU seconds bounds the run, whatever was waited for."""
    cpu = Seconds(read=1, decode=1, infer=1, write=1)
    setattr(cpu, stage, 7)
    bottleneck = explain(Seconds(infer=5), cpu, RunFacts(seconds=5, cores=2))
    assert bottleneck.stage == stage
    assert "70% of the processor's time" in bottleneck.advice


@pytest.mark.parametrize("stage", NAMES)
def test_idle_cores(stage):
    """If cores are idle, the stage that was waited for most bounds the run, whatever used the CPU."""
    waited = Seconds(read=0.5, decode=0.5, infer=0.5, write=0.5)
    setattr(waited, stage, 6)
    bottleneck = explain(waited, Seconds(decode=4), RunFacts(seconds=10, cores=2, load=IDLE))
    assert bottleneck.stage == stage
    assert "60% of its time" in bottleneck.advice


def test_idle_only_if_measured():
    """The advice calls cores idle only if the load was measured."""
    assert "of its time while cores were idle: smaller" in advice()
    assert advice(load=None) == "The run waited for decoding 60% of its time: smaller originals would help most."


def test_other_programs():
    """If other programs use the cores, the advice says so, with figures."""
    assert advice(load=FULL) == (
        "Other programs took 55% of the processor's time, and 5% was idle: without them the run is faster."
    )


def test_part_of_a_core():
    """A container's half a core that is used up is busy, however idle the machine is."""
    cpu = Seconds(decode=4.5)
    bottleneck = explain(Seconds(decode=9), cpu, RunFacts(seconds=10, cores=0.5, load=Load(0.0, 0.9)))
    assert bottleneck.advice.startswith("Decoding took 100% of the processor's time")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"load": FULL, "workers": 1}, "makes no difference"),
        ({"cpu": Seconds(infer=19), "workers": 2}, "makes no difference"),
        ({"waited": Seconds(infer=9), "workers": 1}, "makes no difference"),
        ({"workers": 1}, "More --workers would help, too."),
        ({"workers": 2}, "help most."),
        ({"load": FULL}, "is faster."),
    ],
)
def test_number_of_workers(options, expected):
    """With --workers the advice says whether another number would change anything."""
    assert expected in advice(**options)[-40:]


@pytest.mark.parametrize("cpu", [Seconds(infer=4), Seconds(infer=19)])
def test_the_fastest_backbone(cpu):
    """Who uses the fastest backbone is not told to take a smaller one; no advice calls it a network."""
    fastest, other = (advice(waited=Seconds(infer=9), cpu=cpu, is_fastest=one) for one in (True, False))
    assert other == fastest.replace(": a faster device", ": a smaller backbone or a faster device")
    assert "smaller backbone" not in fastest
    assert "network" not in other


def test_load(monkeypatch):
    """The machine's busy time without the run's CPU seconds is that of other programs."""
    monkeypatch.setattr(timing, "read_core_times", lambda: CoreTimes(118.0, 52.0))
    assert measure_load(CoreTimes(100.0, 50.0), own_s=8.0) == Load(others=0.5, idle=0.1)
    assert measure_load(CoreTimes(100.0, 50.0), own_s=18.4).others == 0.0
    assert measure_load(None, own_s=8.0) is None


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds, cpu=0)`: advance the wall clock and the CPU seconds of the process."""
    now, used = [100.0], [10.0]

    def advance(seconds, cpu=0):
        now[0] += seconds
        used[0] += cpu

    monkeypatch.setattr("frieze.embedder.job.timing.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("frieze.embedder.job.timing.time.process_time", lambda: used[0])
    return advance


def batch(**seconds):
    """Make a batch that took so long."""
    return Batch(BatchRows(0, is_last=False, rows=np.arange(1)), **seconds)


def test_waiting(clock):
    """The seconds of all blocks of a stage add up, even of one that raises."""
    times = StageTimes()
    with times.waiting("infer"):
        clock(2)
    with contextlib.suppress(KeyError), times.waiting("infer"):
        clock(3)
        raise KeyError
    assert times.waited.to_json() == {"read": 0.0, "decode": 0.0, "infer": 5.0, "write": 0.0}


def test_timed(clock):
    """The wait for a batch is split as its threads' time was; the time between two batches is not counted."""
    times = StageTimes()

    def batches():
        clock(4)
        yield batch(read_s=1, decode_s=3)
        clock(2)
        yield batch(read_s=5, decode_s=5)

    for _ in times.timed(batches()):
        clock(100)
    assert (times.waited.read, times.waited.decode) == (pytest.approx(2), pytest.approx(4))


def test_cpu(clock):
    """The CPU seconds of `infer` are those that no other stage used, from the first image on."""
    clock(0, cpu=1000)
    times = StageTimes()
    list(times.timed(iter([batch(read_cpu_s=1, decode_cpu_s=4), batch(decode_cpu_s=2)])))
    clock(10, cpu=15)
    times.end(write_cpu_s=0.5)
    assert times.cpu.to_json() == {"read": 1.0, "decode": 6.0, "infer": 7.5, "write": 0.5}


def test_cpu_of_other_processes(clock):
    """What other processes decoded is decoding, and not taken from what this one had for `infer`."""
    times = StageTimes()
    list(times.timed(iter([batch(decode_cpu_s=9, other_cpu_s=8)])))
    clock(10, cpu=5)
    times.end(write_cpu_s=0.5)
    assert times.cpu.to_json() == {"read": 0.0, "decode": 9.0, "infer": 3.5, "write": 0.5}


def test_no_seconds(clock):
    """A batch that took no time divides nothing by zero."""
    times = StageTimes()
    one = batch()
    assert list(times.timed(iter([one]))) == [one]
    assert times.waited.to_json() == dict.fromkeys(("read", "decode", "infer", "write"), 0.0)

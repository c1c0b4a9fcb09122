import pytest

from frieze.core import CoreTimes
from frieze.embedder.job import timing as explanation
from frieze.embedder.job.timing import NAMES, Load, Seconds, explain, measure_load

IDLE, FULL = Load(others=0.1, idle=0.5), Load(others=0.55, idle=0.05)


def advice(*, waited=None, cpu=None, load=IDLE, workers=None):
    """Explain ten seconds on two cores."""
    waited, cpu = waited or Seconds(decode=6), cpu or Seconds(decode=4)
    return explain(waited, cpu, seconds=10, cores=2, load=load, workers=workers).advice


@pytest.mark.parametrize("stage", NAMES)
def test_busy_cores(stage):
    """Where the cores are busy, the stage that takes most of their time bounds the run, whatever was waited for."""
    cpu = Seconds(read=1, decode=1, infer=1, write=1)
    setattr(cpu, stage, 7)
    found = explain(Seconds(infer=5), cpu, seconds=5, cores=2, load=None, workers=None)
    assert found.stage == stage
    assert "70% of the processor's time" in found.advice


@pytest.mark.parametrize("stage", NAMES)
def test_idle_cores(stage):
    """Where cores are idle, the stage that was waited for most bounds the run, whatever the cores did."""
    waited = Seconds(read=0.5, decode=0.5, infer=0.5, write=0.5)
    setattr(waited, stage, 6)
    found = explain(waited, Seconds(decode=4), seconds=10, cores=2, load=IDLE, workers=None)
    assert found.stage == stage
    assert "60% of its time" in found.advice


def test_idle_only_where_the_machine_says_so():
    """Cores are called idle where the machine was asked, and nowhere else."""
    assert "of its time while cores were idle: smaller" in advice()
    assert advice(load=None) == "The run waited for decoding 60% of its time: smaller originals would help most."


def test_other_programs():
    """Where other programs hold the cores that the run does not, that is what bounds it, with figures."""
    assert advice(load=FULL) == (
        "Other programs took 55% of the processor's time, and 5% was idle: without them the run is faster."
    )


def test_part_of_a_core():
    """Half a core that is used up is busy: a container has no more, however idle the machine is."""
    cpu = Seconds(decode=4.5)
    found = explain(Seconds(decode=9), cpu, seconds=10, cores=0.5, load=Load(0.0, 0.9), workers=None)
    assert found.advice.startswith("Decoding took 100% of the processor's time")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"load": FULL, "workers": 1}, "makes no difference"),
        ({"cpu": Seconds(infer=19), "workers": 2}, "makes no difference"),
        ({"waited": Seconds(infer=9), "workers": 1}, "makes no difference"),
        ({"workers": 1}, "More --workers would help, too."),
        ({"workers": 2}, "help most."),
        ({"load": FULL}, "is faster."),
    ],
)
def test_number_of_workers(given, told):
    """Who gave --workers is told where another number would change nothing, and where more would help."""
    assert told in advice(**given)[-40:]


def test_load(monkeypatch):
    """The machine's busy time less the run's own is other programs'."""
    monkeypatch.setattr(explanation, "read_core_times", lambda: CoreTimes(118.0, 52.0))
    assert measure_load(CoreTimes(100.0, 50.0), own_s=8.0) == Load(others=0.5, idle=0.1)
    assert measure_load(CoreTimes(100.0, 50.0), own_s=18.4).others == 0.0
    assert measure_load(None, own_s=8.0) is None

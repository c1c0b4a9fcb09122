import pytest

from embedder.explanation import explain
from embedder.stages import NAMES, Seconds


@pytest.mark.parametrize("stage", NAMES)
def test_busy_cores(stage):
    """Where the cores are busy, the stage that takes most of their time bounds the run, whatever was waited for."""
    cpu = Seconds(read=1, decode=1, infer=1, write=1)
    setattr(cpu, stage, 7)
    found = explain(Seconds(infer=5), cpu, seconds=5, cores=2)
    assert found.stage == stage
    assert "70% of the processor's time" in found.advice


@pytest.mark.parametrize("stage", NAMES)
def test_idle_cores(stage):
    """Where cores are idle, the stage that was waited for most bounds the run, whatever the cores did."""
    waited = Seconds(read=0.5, decode=0.5, infer=0.5, write=0.5)
    setattr(waited, stage, 6)
    found = explain(waited, Seconds(decode=4), seconds=10, cores=2)
    assert found.stage == stage
    assert "60% of its time" in found.advice

import contextlib
import types

import pytest

from embedder.stages import Stages


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)`: let so much time pass; nothing else does."""
    now = [100.0]

    def advance(seconds):
        now[0] += seconds

    monkeypatch.setattr("embedder.stages.time.perf_counter", lambda: now[0])
    return advance


def test_waiting(clock):
    """The seconds of all blocks of a stage add up, also of one that fails."""
    stages = Stages()
    with stages.waiting("infer"):
        clock(2)
    with contextlib.suppress(KeyError), stages.waiting("infer"):
        clock(3)
        raise KeyError
    assert stages.to_json() == {"read": 0.0, "decode": 0.0, "infer": 5.0, "write": 0.0}


def test_timed(clock):
    """The wait for a batch is divided as its threads divided theirs; the time between two batches is not counted."""
    stages = Stages()

    def batches():
        clock(4)
        yield types.SimpleNamespace(read_s=1.0, decode_s=3.0)
        clock(2)
        yield types.SimpleNamespace(read_s=5.0, decode_s=5.0)

    for _ in stages.timed(batches()):
        clock(100)
    assert (stages.read, stages.decode) == (pytest.approx(2), pytest.approx(4))


def test_no_seconds(clock):
    """A batch that took no time at all divides nothing by zero."""
    stages = Stages()
    batch = types.SimpleNamespace(read_s=0.0, decode_s=0.0)
    assert list(stages.timed(iter([batch]))) == [batch]
    assert stages.to_json() == dict.fromkeys(("read", "decode", "infer", "write"), 0.0)

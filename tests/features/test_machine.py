import os

from features import count_cores


def test_only_the_cores_that_may_be_used(monkeypatch):
    """A process held to some cores counts these, not the machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert count_cores() == 1


def test_where_the_system_does_not_tell(monkeypatch):
    """Without that knowledge all cores count, and one at least."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores() == 1

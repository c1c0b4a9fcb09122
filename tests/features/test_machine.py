import os
from pathlib import Path

import pytest

from features import count_cores, free_memory


def test_only_the_cores_that_may_be_used(monkeypatch):
    """A process held to some cores counts these, not the machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert count_cores() == 1


def test_where_the_system_does_not_tell(monkeypatch):
    """Without that knowledge all cores count, and one at least."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores() == 1


def test_free_memory_of_the_machine(tmp_path, monkeypatch):
    """Without a container's limit what the machine has available counts."""
    monkeypatch.setattr("features.machine._CONTAINER", tmp_path)
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    told = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    assert not told or abs(free_memory() - told[0]) < 2 << 30


@pytest.mark.parametrize(("limit", "free"), [("3000", 1000), ("1000", 0)])
def test_free_memory_of_a_container(tmp_path, monkeypatch, limit, free):
    """A container's limit less what it uses counts where it is lower."""
    monkeypatch.setattr("features.machine._CONTAINER", tmp_path)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_memory() == free


def test_a_container_without_a_limit(tmp_path, monkeypatch):
    """A container that may take all has the machine's memory."""
    monkeypatch.setattr("features.machine._CONTAINER", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_memory() > 2000


def test_where_nothing_is_told(tmp_path, monkeypatch):
    """Where the system tells nothing, half of the memory counts as free."""
    monkeypatch.setattr("features.machine._CONTAINER", tmp_path)
    monkeypatch.setattr("features.machine._read", lambda _: "")
    assert free_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

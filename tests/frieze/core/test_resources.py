import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frieze.core import (
    InputError,
    count_cores,
    cpu_share,
    format_size,
    free_memory,
    parse_size,
    peak_memory,
    read_core_times,
    resident_memory,
)
from frieze.core import resources as machine

NO_LIMIT = str((1 << 63) - 4096)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A machine of eight cores without control groups or limits."""
    monkeypatch.setattr(machine, "_PROCESS", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "self").mkdir()


@pytest.fixture
def container(tmp_path):
    """`container(files, path="/", root="/", version=2)`: a process in a group, with files below the groups' mount.

    Of version 1 there is a mount for each controller, and a file's first folder is the controller.
    """

    def make(files, path="/", root="/", version=2):
        mounts = (
            [("cgroup2", "", "rw")]
            if version == 2
            else [("cgroup", "cpu", "rw,cpu,cpuacct"), ("cgroup", "memory", "rw,memory")]
        )
        lines = [f"31 23 0:28 {root} {tmp_path}/fs/{name} rw - {kind} none {options}" for kind, name, options in mounts]
        (tmp_path / "self" / "mountinfo").write_text("\n".join(["22 1 0:2 / / rw - ext4 /dev/vda rw", *lines]))
        groups = f"0::{path}\n" if version == 2 else f"4:memory:{path}\n1:cpu,cpuacct:{path}\n0::/\n"
        (tmp_path / "self" / "cgroup").write_text(groups)
        for name, text in files.items():
            (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / name).write_text(f"{text}\n")

    return make


def test_only_the_cores_that_may_be_used(monkeypatch):
    """A process held to some cores counts these, not the machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert count_cores() == 1


def test_where_the_system_does_not_tell(monkeypatch):
    """Without that knowledge all cores count, and one at least."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores() == 1


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("50000 100000", 1), ("150000 100000", 2), ("1600000 100000", 8), ("", 8)]
)
def test_a_quota(quota, cores, container):
    """A container's quota of CPU time counts, rounded up to whole cores; none is none."""
    container({"cpu.max": quota})
    assert count_cores() == cores


def quota_v1(quota):
    """Return the files of cgroup v1 for a quota, in microseconds of 20,000."""
    return {"cpu/a/b/cpu.cfs_quota_us": quota, "cpu/a/b/cpu.cfs_period_us": 20_000}


@pytest.mark.parametrize(("quota", "cores"), [(-1, 8), (10_000, 1), (50_000, 3)])
def test_a_quota_of_version_1(quota, cores, container):
    """Version 1 says the same in two files, and -1 of none."""
    container(quota_v1(quota), "/a/b", version=1)
    assert count_cores() == cores


def test_quotas_of_groups_around(container):
    """Each group that a process's own lies in may have a limit: the least counts, up to the root."""
    container({"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, "/a/b/c")
    assert count_cores() == 3


@pytest.mark.parametrize(("path", "root"), [("/docker/1f", "/docker/1f"), ("/docker/1f", "/docker/77"), ("/../x", "/")])
def test_groups_seen_from_inside(path, root, container):
    """Where a container sees its own group as the root, that one counts, whatever its name outside."""
    container({"cpu.max": "200000 100000"}, path, root)
    assert count_cores() == 2


def test_groups_seen_from_inside_and_below(container):
    """A group inside a container is found below what is mounted there."""
    container({"in/cpu.max": "100000 100000", "cpu.max": "200000 100000"}, "/docker/1f/in", "/docker/1f")
    assert count_cores() == 1


def test_part_of_a_core(container):
    """The share of a quota below one core is told as it is, beside the one core that can be kept busy."""
    container({"cpu.max": "50000 100000"})
    assert (cpu_share(), count_cores()) == (0.5, 1)


def test_core_times(tmp_path, monkeypatch):
    """Only the cores that this process is held to count; waiting for a disk is idle, what a host took is not."""
    (tmp_path / "stat").write_text(
        "cpu 9 9 9 9\ncpu0 100 1 2 300 4 5 6 7 90 0\ncpu1 1000 0 0 0 0 0 0 0 0 0\nintr 1 2\n"
    )
    monkeypatch.setattr(machine, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    assert read_core_times() == (1.21, 3.04)


def test_a_machine_that_does_not_tell(tmp_path, monkeypatch):
    """Where there are no such figures, or only zeros, nothing is said."""
    monkeypatch.setattr(machine, "_STAT", tmp_path / "stat")
    assert read_core_times() is None
    (tmp_path / "stat").write_text("cpu 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
    assert read_core_times() is None


@pytest.mark.parametrize(("value", "cores"), [("3", 3), ("2,4", 2), ("99", 8), ("0", 8), ("many", 8), ("", 8)])
def test_threads_that_the_user_allows(value, cores, monkeypatch):
    """`OMP_NUM_THREADS` is an upper bound where it is a number; of a list the first counts."""
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert count_cores() == cores


def test_free_memory_of_the_machine():
    """Without a container's limit what the machine has available counts."""
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    message = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    assert not message or abs(free_memory() - message[0]) < 2 << 30


@pytest.mark.parametrize(("limit", "free"), [("3000", 1000), ("1000", 0)])
def test_free_memory_of_a_container(limit, free, container):
    """A container's limit less what it uses counts where it is lower."""
    container({"memory.max": limit, "memory.current": "2000"})
    assert free_memory() == free


def test_what_was_read_can_be_dropped(container):
    """Files that the system keeps in a container's memory are free: else a table that was read would fill it."""
    container({"memory.max": 3000, "memory.current": 2900, "memory.stat": "anon 400\ninactive_file 2500"})
    assert free_memory() == 2600


def memory_v1(group, limit, used):
    """Return the memory files of a cgroup v1."""
    return {f"memory/{group}memory.limit_in_bytes": limit, f"memory/{group}memory.usage_in_bytes": used}


def test_free_memory_of_version_1(container):
    """Version 1 has other names, and a huge number for no limit; the least of all groups around counts."""
    group = memory_v1("a/b/", 9000, 2000) | {"memory/a/b/memory.stat": "inactive_file 1\ntotal_inactive_file 500"}
    container(memory_v1("", NO_LIMIT, 10**12) | memory_v1("a/", 5000, 4000) | group, "/a/b", version=1)
    assert free_memory() == 1000


def test_a_group_that_is_nearer_its_limit(container):
    """Its own limit counts where that leaves less than those around."""
    container(memory_v1("a/", 50_000, 4000) | memory_v1("a/b/", 4000, 3900), "/a/b", version=1)
    assert free_memory() == 100


def test_a_container_without_a_limit(container):
    """A container that may take all has the machine's memory."""
    container({"memory.max": "max", "memory.current": "2000"})
    assert free_memory() > 2000


def test_where_nothing_is_told(monkeypatch):
    """Where the system tells nothing, half of the memory counts as free."""
    monkeypatch.setattr("frieze.core.resources._read", lambda _: "")
    assert free_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell what is held now")
def test_what_a_process_holds(monkeypatch):
    """Bytes that are written to count as held until they are freed, and as a peak for good."""
    monkeypatch.setattr(machine, "_PROCESS", Path("/proc/self"))
    before = resident_memory()
    with mmap.mmap(-1, 50_000_000) as block:
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1
        assert before + 45_000_000 < resident_memory() <= peak_memory()
    assert resident_memory() < before + 45_000_000 < peak_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="the system counts what started the process")
def test_the_peak_of_what_started_a_process_does_not_count():
    """A small program that a large one starts has a small peak."""
    block = bytearray(b"x") * 200_000_000
    code = "from frieze.core.resources import peak_memory; print(peak_memory())"
    actual = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert len(block) > int(actual.stdout)


def test_where_the_memory_held_is_not_told():
    """Without /proc the peak, as the C library tells it, stands for what is held."""
    assert resident_memory() == peak_memory() > 10_000_000


@pytest.mark.parametrize("text", ["", "0", "0MB", "lots", "-1GB", "2XB", "GB", "1e9", "2GB!"])
def test_no_size(text):
    """A text that is no size is refused with an example."""
    with pytest.raises(InputError, match="is no size of memory") as caught:
        parse_size(text)
    assert caught.value.hint == "Write it like 500MB or 2GB."


@pytest.mark.parametrize("size", [1, 999, 1_000, 1_234, 51_200_001, 999_999_999, 10**9, 12_345_678_901, 5 * 10**12])
def test_formatted_size_is_enough(size):
    """A formatted size can be parsed, and is no less and at most a tenth more."""
    assert size <= parse_size(format_size(size)) <= 1.1 * size


def test_no_module_of_unix_at_import():
    """The ground floor and the stored tables are imported without `fcntl` and `resource`, which Windows lacks."""
    code = "import sys; sys.modules |= {'fcntl': None, 'resource': None}; import frieze.core, frieze.features"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

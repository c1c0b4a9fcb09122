"""CPU cores and memory of this process, within the limits of cgroups, and sizes as text ("2GB")."""

import ctypes
import functools
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from frieze.core.errors import InputError

_MEMINFO = Path("/proc/meminfo")
_PROCESS = Path("/proc/self")
_STAT = Path("/proc/stat")
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
_UNLIMITED = 1 << 60
"""A limit of cgroup v1 above this number means no limit."""


def count_cores() -> int:
    """Count the processor cores that this process may keep busy, >= 1: `cpu_share` rounded up."""
    return math.ceil(cpu_share())


def cpu_share() -> float:
    """Return how many cores' time this process may use, > 0.

    The minimum of its CPU affinity, the container's quota, and `OMP_NUM_THREADS` where that is set.
    """
    return min([float(len(available_cores()) or os.cpu_count() or 1), *_read_quotas(_PROCESS), *_read_thread_limit()])


def available_cores() -> frozenset[int]:
    """Return the numbers of the cores in this process's affinity mask; empty where there is none (macOS)."""
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())


class CoreTimes(NamedTuple):
    """CPU time since boot of the cores that this process may use, of all programs together.

    Attributes:
        busy_s: Busy seconds, summed over cores; time stolen by other virtual machines counts.
        idle_s: Idle seconds.
    """

    busy_s: float
    idle_s: float


def read_core_times() -> CoreTimes | None:
    """Read how busy the cores are; None where the system does not say (macOS, some containers)."""
    cores = {f"cpu{number}" for number in available_cores()}
    lines = [line.split() for line in _read(_STAT).splitlines()]
    times = [[int(ticks) for ticks in fields[1:9]] for fields in lines if fields and fields[0] in cores]
    idle = sum(sum(one[3:5]) for one in times)  # user nice system idle iowait irq softirq steal
    busy = sum(sum(one) for one in times) - idle
    per_second = os.sysconf("SC_CLK_TCK")
    return CoreTimes(busy / per_second, idle / per_second) if busy else None


def _read_thread_limit() -> list[int]:
    """Read `OMP_NUM_THREADS`; of a list, the first number is that of the outer level."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return [int(first)] if first.isdecimal() and int(first) else []


@functools.cache  # called at every search; a container's quota is set before it starts
def _read_quotas(process: Path) -> tuple[float, ...]:
    """Read the quotas of CPU time, each in cores; empty where there is no limit."""
    quotas = []
    for group in _find_groups(process, "cpu"):
        numbers = _read(group / "cpu.max").split() or [
            _read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")
        ]
        quota, period = (_to_number(word) for word in numbers)
        if quota and period:
            quotas.append(quota / period)
    return tuple(quotas)


def free_memory() -> int:
    """Return the bytes of memory that are free or reclaimable, within the container's limit.

    Where the system does not say, half of the physical memory.
    """
    groups = (_free_in(group) for group in _find_groups(_PROCESS, "memory"))
    free = [n_bytes for n_bytes in (_free_of_machine(), *groups) if n_bytes is not None]
    return min(free) if free else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def resident_memory() -> int:
    """Return the resident memory of this process in bytes, after freed memory was returned to the system.

    Where the system does not say (macOS), the peak.
    """
    trim_memory()
    pages = _read(_PROCESS / "statm").split()[1:2]
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else peak_memory()


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes.

    On macOS this may include its parent's memory at the fork.
    """
    lines = _read(_PROCESS / "status").splitlines()
    highest = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    if highest:
        return highest
    import resource  # here: Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


def _free_of_machine() -> int | None:
    lines = _read(_MEMINFO).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


class _MemoryFiles(NamedTuple):
    """The names of a cgroup version's memory files, and of the reclaimable file cache in `memory.stat`."""

    limit: str
    used: str
    reclaimable: str


_MEMORY_FILES = (
    _MemoryFiles("memory.max", "memory.current", "inactive_file"),
    _MemoryFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _free_in(group: Path) -> int | None:
    """Return the bytes that a cgroup may still allocate; None where it has no limit."""
    for names in _MEMORY_FILES:
        limit, used = (_to_number(_read(group / name)) for name in (names.limit, names.used))
        if limit is not None and used is not None and limit < _UNLIMITED:
            stat = dict(line.split() for line in _read(group / "memory.stat").splitlines())
            return max(limit - used + int(stat.get(names.reclaimable, 0)), 0)
    return None


def _find_groups(process: Path, controller: str) -> Iterator[Path]:
    """Find the cgroups (v1 and v2) of a process, each with its parents: every limit counts.

    Args:
        process: The folder of the process below /proc.
        controller: `cpu` or `memory`.
    """
    lines = [line.split(":", 2) for line in _read(process / "cgroup").splitlines()]
    paths = {name: path for _, names, path in lines for name in names.split(",")}  # the one group of v2 has no name
    for line in _read(process / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, *_, options = after.split()
        name = {"cgroup": controller, "cgroup2": ""}.get(kind)
        if name in paths and (not name or name in options.split(",")):
            yield from _climb(Path(mount), Path(paths[name]), root)


def _climb(mount: Path, path: Path, root: str) -> Iterator[Path]:
    """Yield a cgroup's folder and its parents, up to the mount point."""
    is_below = path.is_relative_to(root) and ".." not in path.parts  # else it is in another namespace
    folder = mount / path.relative_to(root) if is_below else mount
    while folder != mount:
        yield folder
        folder = folder.parent
    yield mount


def _to_number(text: str) -> int | None:
    """Parse a number; None for `max`, -1 and an empty text."""
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def trim_memory() -> None:
    """Return freed memory to the system: Arrow and glibc keep it, and it counts as resident."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", re.ASCII | re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Parse a size in bytes.

    Raises:
        InputError: It is no size, or zero.

    >>> parse_size("2GB"), parse_size("1.5 mb"), parse_size(600)
    (2000000000, 1500000, 600)
    """
    match = _SIZE.fullmatch(str(text).strip())
    unit = match[2].upper() if match else ""
    size = int(float(match[1]) * _UNITS[unit if unit in _UNITS else f"{unit}B"]) if match else 0
    if size < 1:
        raise InputError(f"{text} is no size of memory.", hint="Write it like 500MB or 2GB.")
    return size


def format_size(size_bytes: int) -> str:
    """Format a size as `parse_size` reads it, rounded up to two digits.

    >>> format_size(51_200_000), format_size(123), format_size(2_000_000_000)
    ('52MB', '123B', '2GB')
    """
    for unit in ("TB", "GB", "MB", "KB"):
        if size_bytes >= _UNITS[unit]:
            return (
                f"{math.ceil(size_bytes / _UNITS[unit] * 10) / 10:.3g}{unit}"
                if size_bytes < 10 * _UNITS[unit]
                else f"{math.ceil(size_bytes / _UNITS[unit])}{unit}"
            )
    return f"{size_bytes}B"

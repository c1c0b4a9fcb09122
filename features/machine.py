"""What this machine offers."""

import ctypes
import os
from pathlib import Path

import pyarrow as pa

_CONTAINER = Path("/sys/fs/cgroup")


def count_cores() -> int:
    """Count the processor cores that this process may use, >= 1."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container's share, not the whole machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Give the bytes of memory that are free, or can be freed at once; of a container its share.

    Where the system does not tell what is free, half of what there is.
    """
    free = [found for found in (_free_of_machine(), _free_of_container()) if found is not None]
    return min(free) if free else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _free_of_machine() -> int | None:
    lines = _read(Path("/proc/meminfo")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_container() -> int | None:
    limit, used = (_read(_CONTAINER / name).strip() for name in ("memory.max", "memory.current"))
    return max(int(limit) - int(used), 0) if limit.isdigit() and used.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def trim_memory() -> None:
    """Give what was freed back to the system: Arrow and the C library (glibc) keep it, and it counts as ours."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)

"""What this machine offers."""

import ctypes
import os

import pyarrow as pa


def count_cores() -> int:
    """Count the processor cores that this process may use, >= 1."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container's share, not the whole machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def trim_memory() -> None:
    """Give what was freed back to the system: Arrow and the C library (glibc) keep it, and it counts as ours."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)

"""What this machine offers."""

import os


def count_cores() -> int:
    """Count the processor cores that this process may use, >= 1."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container's share, not the whole machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

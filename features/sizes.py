"""Sizes of memory as people write them."""

import math
import re

from features.errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", re.ASCII | re.IGNORECASE)


def read_size(text: str | int) -> int:
    """Read a size in bytes.

    Raises:
        InputError: It is none, or zero.

    >>> read_size("2GB"), read_size("1.5 mb"), read_size(600)
    (2000000000, 1500000, 600)
    """
    found = _SIZE.fullmatch(str(text).strip())
    unit = found[2].upper() if found else ""
    size = int(float(found[1]) * _UNITS[unit if unit in _UNITS else f"{unit}B"]) if found else 0
    if size < 1:
        raise InputError(f"{text} is no size of memory.", mend="Write it like 500MB or 2GB.")
    return size


def write_size(size_bytes: int) -> str:
    """Write a size so that it can be typed, rounded up to two digits.

    >>> write_size(51_200_000), write_size(123), write_size(2_000_000_000)
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

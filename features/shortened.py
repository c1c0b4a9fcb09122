"""Long lists of names, shortened for a message."""

from collections.abc import Sequence


def shorten(names: Sequence[str], *, most: int = 5) -> str:
    """Name the first few of many.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
